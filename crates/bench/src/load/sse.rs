//! Server-sent events, from bytes as they arrive (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

/// The longest line that is taken. A server that sends more without a line end is not sending events.
const LINE_LIMIT: usize = 4 << 20;

/// Splits a stream of bytes into events. Bytes may be cut anywhere, also inside a character or between CR and LF.
#[derive(Debug, Default)]
pub(super) struct EventParser {
    line: Vec<u8>,
    data: String,
    has_data: bool,
    after_cr: bool,
    after_first_line: bool,
}

/// The stream is no stream of events.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SseError {
    #[error("a line of the event stream is not UTF-8")]
    NotUtf8,
    #[error("a line of the event stream is longer than {LINE_LIMIT} bytes")]
    LineTooLong,
}

impl EventParser {
    /// Takes the next bytes and gives the data of each event that they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, SseError> {
        let mut events = Vec::new();
        for &byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => events.extend(self.end_line()?),
                other if self.line.len() < LINE_LIMIT => self.line.push(other),
                _ => return Err(SseError::LineTooLong),
            }
        }
        Ok(events)
    }

    /// Whether an event has begun that the stream did not complete.
    pub(super) fn in_event(&self) -> bool {
        self.has_data || !self.line.is_empty()
    }

    fn end_line(&mut self) -> Result<Option<String>, SseError> {
        let line = std::mem::take(&mut self.line);
        let mut line = std::str::from_utf8(&line).map_err(|_| SseError::NotUtf8)?;
        if !std::mem::replace(&mut self.after_first_line, true) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            let complete = std::mem::take(&mut self.has_data);
            let data = std::mem::take(&mut self.data);
            return Ok(complete.then_some(data));
        }
        // Comments (": ping"), names, ids and retry times carry nothing that is measured.
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        if field == "data" {
            if self.has_data {
                self.data.push('\n');
            }
            self.has_data = true;
            self.data.push_str(value.strip_prefix(' ').unwrap_or(value));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::{EventParser, LINE_LIMIT, SseError};
    use proptest::prelude::*;

    fn whole(bytes: &[u8]) -> Vec<String> {
        EventParser::default().push(bytes).expect("events")
    }

    #[test]
    fn all_line_ends_comments_and_other_fields_are_understood() {
        let stream =
            b"\xef\xbb\xbfdata: one\r\n\r\n: ping\n\nevent: x\nid: 4\ndata:two\r\rdata\n\nretry: 5\n\ndata:  three\n\n";
        assert_eq!(whole(stream), ["one", "two", "", " three"]);
    }

    #[test]
    fn lines_of_one_event_are_joined() {
        assert_eq!(whole(b"data: a\ndata: b\n\n"), ["a\nb"]);
    }

    #[test]
    fn an_event_without_its_empty_line_is_not_given_but_known() {
        let mut parser = EventParser::default();
        assert_eq!(parser.push(b"data: {\"a\":").expect("bytes"), Vec::<String>::new());
        assert!(parser.in_event());
        assert_eq!(parser.push(b" 1}\n").expect("bytes"), Vec::<String>::new());
        assert!(parser.in_event());
        assert_eq!(parser.push(b"\n").expect("bytes"), ["{\"a\": 1}"]);
        assert!(!parser.in_event());
    }

    #[test]
    fn what_is_no_event_stream_is_told_apart() {
        assert_eq!(EventParser::default().push(b"data: \xff\n"), Err(SseError::NotUtf8));
        assert_eq!(EventParser::default().push(&vec![b'x'; LINE_LIMIT + 1]), Err(SseError::LineTooLong));
    }

    proptest! {
        #[test]
        fn cuts_between_bytes_change_nothing(
            texts in prop::collection::vec("[a-z \u{e9}\u{1f600}]{0,12}", 0..6),
            ends in prop::collection::vec(0usize..3, 24),
            cut in 1usize..7,
        ) {
            let mut stream = Vec::new();
            for (index, text) in texts.iter().enumerate() {
                let end = ["\n", "\r\n", "\r"][ends[index]];
                stream.extend_from_slice(format!("data: {text}{end}{end}").as_bytes());
            }
            let mut parser = EventParser::default();
            let mut events = Vec::new();
            for part in stream.chunks(cut) {
                events.extend(parser.push(part).expect("events"));
            }
            prop_assert_eq!(&events, &texts);
            prop_assert_eq!(whole(&stream), events);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = EventParser::default().push(&bytes);
        }
    }
}
