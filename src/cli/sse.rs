//! Server-sent events, as far as ours go: `event:` and `data:` lines.

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerEvent {
    pub name: String,
    pub data: String,
}

/// Cuts a byte stream into events; chunks may end anywhere.
#[derive(Debug, Default)]
pub struct Events {
    line: Vec<u8>,
    name: String,
    data: String,
}

impl Events {
    /// The events that `chunk` completes.
    pub fn feed(&mut self, chunk: &[u8]) -> Vec<ServerEvent> {
        let mut complete = Vec::new();
        for byte in chunk {
            if *byte == b'\n' {
                complete.extend(self.end_line());
            } else {
                self.line.push(*byte);
            }
        }
        complete
    }

    fn end_line(&mut self) -> Option<ServerEvent> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches('\r');
        if line.is_empty() {
            let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
            return (!data.is_empty()).then_some(ServerEvent { name, data });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" if self.data.is_empty() => value.clone_into(&mut self.data),
            "data" => {
                self.data.push('\n');
                self.data.push_str(value);
            }
            // Comments keep the connection alive; ids and retry times mean nothing to us.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_wherever_the_chunks_end() {
        let stream = b": hello\n\nevent: progress\ndata: {\"a\":\r\ndata: 1}\n\nevent: finished\n\
                       data: {}\n\nevent: progress\ndata: cut";
        let expected = [
            ServerEvent { name: "progress".into(), data: "{\"a\":\n1}".into() },
            ServerEvent { name: "finished".into(), data: "{}".into() },
        ];
        for size in 1..stream.len() {
            let mut events = Events::default();
            let found: Vec<_> = stream.chunks(size).flat_map(|chunk| events.feed(chunk)).collect();
            assert_eq!(found, expected, "chunks of {size}");
        }
    }
}
