//! Writing HTML: everything that is not a literal of ours is escaped.

/// Rows of a list that a page shows at most.
pub const FEW: usize = 20;

/// A page being written.
#[derive(Debug)]
pub struct Html {
    title: &'static str,
    refresh: bool,
    body: String,
}

impl Html {
    pub fn new(title: &'static str) -> Self {
        Self { title, refresh: false, body: String::with_capacity(4 << 10) }
    }

    /// The browser goes to `/` by itself.
    pub fn refresh_to_home(&mut self) {
        self.refresh = true;
    }

    /// Markup of ours.
    pub fn raw(&mut self, markup: &str) -> &mut Self {
        self.body.push_str(markup);
        self
    }

    /// Text from anywhere.
    pub fn text(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            match c {
                '&' => self.body.push_str("&amp;"),
                '<' => self.body.push_str("&lt;"),
                '>' => self.body.push_str("&gt;"),
                '"' => self.body.push_str("&quot;"),
                '\'' => self.body.push_str("&#39;"),
                other => self.body.push(other),
            }
        }
        self
    }

    pub fn finish(self) -> String {
        let refresh =
            if self.refresh { "<meta http-equiv=\"refresh\" content=\"0; url=/\">" } else { "" };
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">{refresh}\
             <title>{} - Hayloft</title><link rel=\"stylesheet\" href=\"/assets/style.css\"></head>\
             <body>{}</body></html>",
            self.title, self.body
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        let mut html = Html::new("t");
        html.raw("<p>").text("<a href=\"x\">&'").raw("</p>");
        assert!(html.finish().contains("<p>&lt;a href=&quot;x&quot;&gt;&amp;&#39;</p>"));
    }
}
