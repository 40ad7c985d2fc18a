//! The greeting of `hayloft serve` at a terminal.

use super::table::time;
use crate::server::Welcome;

/// What was made, where it is, and what to type next; `program` is how commands reach this server.
pub fn welcome(welcome: &Welcome, program: &str) -> String {
    let mut text = format!("Hayloft {}\n\n", welcome.version);
    if welcome.created {
        text += &created(welcome);
    }
    text += &format!(
        "Listening\n  {:<40}  clients and the admin page\n  {:<40}  the hayloft command\n\n",
        welcome.page,
        welcome.admin_socket.display(),
    );
    if welcome.local_name {
        text +=
            "From other machines, put this one's name in place of localhost, or set public_url.\n";
    }
    if welcome.exposed {
        text += "Tokens travel unencrypted: set [tls], or listen on 127.0.0.1 behind a proxy.\n";
    }
    if welcome.exposed || welcome.local_name {
        text += "\n";
    }
    text + &next(welcome, program) + "\nCtrl-C ends the server in order. Its log follows.\n\n"
}

fn created(welcome: &Welcome) -> String {
    format!(
        "Created\n  {:<40}  data directory\n  {:<40}  catalogue\n  {:<40}  store \"local\", where \
         uploads go\n\n",
        welcome.data_dir.display(),
        welcome.catalogue.display(),
        welcome.local_store.display(),
    )
}

fn next(welcome: &Welcome, program: &str) -> String {
    let Some(link) = &welcome.link else {
        return format!(
            "In another terminal\n  {program} status\n  {program} token link    (signs a browser in)\n"
        );
    };
    format!(
        "Sign a browser in (works once, until {})\n  {}\n\nNext, in another terminal\n  \
         {program} scope create media\n  {program} file put media FILE\n  {program} status\n",
        time(link.expires_at),
        link.url,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::SignInLink;
    use crate::domain::Timestamp;

    fn facts() -> Welcome {
        Welcome {
            version: "1.0.0",
            created: true,
            data_dir: "/var/lib/hayloft".into(),
            catalogue: "/var/lib/hayloft/hayloft.redb".into(),
            local_store: "/var/lib/hayloft/store".into(),
            admin_socket: "/run/hayloft/admin.sock".into(),
            address: ([127, 0, 0, 1], 8700).into(),
            page: "http://127.0.0.1:8700/".to_owned(),
            local_name: false,
            exposed: false,
            link: Some(SignInLink {
                url: "http://127.0.0.1:8700/signin?token=x".to_owned(),
                expires_at: Timestamp(1_700_000_000_000_000),
            }),
        }
    }

    #[test]
    fn the_first_start_says_what_was_made_and_what_is_next() {
        let expected = "\
Hayloft 1.0.0

Created
  /var/lib/hayloft                          data directory
  /var/lib/hayloft/hayloft.redb             catalogue
  /var/lib/hayloft/store                    store \"local\", where uploads go

Listening
  http://127.0.0.1:8700/                    clients and the admin page
  /run/hayloft/admin.sock                   the hayloft command

Sign a browser in (works once, until 2023-11-14T22:13:20Z)
  http://127.0.0.1:8700/signin?token=x

Next, in another terminal
  hayloft scope create media
  hayloft file put media FILE
  hayloft status

Ctrl-C ends the server in order. Its log follows.

";
        assert_eq!(welcome(&facts(), "hayloft"), expected);
    }

    #[test]
    fn a_later_start_is_brief_and_an_open_port_is_warned_about() {
        let facts = Welcome { created: false, link: None, exposed: true, ..facts() };
        let text = welcome(&facts, "hayloft --config x.toml");
        assert!(!text.contains("Created") && text.contains("unencrypted"), "{text}");
        assert!(text.contains("hayloft --config x.toml token link"), "{text}");
    }
}
