//! Bytes to messages, without I/O: whoever reads the socket or the journal hands the bytes over.
//!
//! A line may arrive in any number of pieces. In a conversation, a line longer than [`LINE_MAX`] or
//! one that is not a message ends the codec: after it nothing can be trusted. In a file that a crash
//! or a full disk may have torn, such a line is passed over. Tests: below; fuzzed as `qmp`.

use super::Message;

/// The longest line that is read, in bytes. The longest QEMU 10.0 sends is the reply to
/// `query-qmp-schema`, some 250 KiB.
pub const LINE_MAX: usize = 4 << 20;

/// Why bytes are not messages.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// A line has no end.
    #[error("a line is longer than {LINE_MAX} bytes")]
    LineTooLong,
    /// A line is not a message.
    #[error("a line is not a QMP message")]
    NotAMessage(#[source] serde_json::Error),
}

/// Cuts bytes into messages.
#[derive(Debug, Default)]
pub struct Codec {
    /// The beginning of a line whose end has not arrived.
    partial: Vec<u8>,
}

impl Codec {
    /// A codec at the beginning of a line.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes as they arrived and returns the messages they complete.
    ///
    /// # Errors
    /// [`CodecError`]; the messages before the fault are lost with it.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Message>, CodecError> {
        let mut messages = Vec::new();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            self.extend(&rest[..end])?;
            rest = &rest[end + 1..];
            let line = std::mem::take(&mut self.partial);
            if !line.trim_ascii().is_empty() {
                messages.push(Message::parse(&line).map_err(CodecError::NotAMessage)?);
            }
        }
        self.extend(rest)?;
        Ok(messages)
    }

    /// As [`Self::push`], passing over what is no message.
    pub fn push_torn(&mut self, bytes: &[u8]) -> Vec<Message> {
        let mut messages = Vec::new();
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            match self.push(line) {
                Ok(found) => messages.extend(found),
                // What is left of a line that is too long is no message either.
                Err(_) => self.partial.clear(),
            }
        }
        messages
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), CodecError> {
        if self.partial.len() + bytes.len() > LINE_MAX {
            return Err(CodecError::LineTooLong);
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Event, QemuVersion};
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const SESSION: &str = concat!(
        r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": ""}, "capabilities": ["oob"]}}"#,
        "\r\n",
        r#"{"return": {}, "id": 1}"#,
        "\r\n",
        r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "SOMETHING_NEW", "data": {"a": 1}}"#,
        "\r\n",
        r#"{"id": 2, "error": {"class": "GenericError", "desc": "no such thing"}}"#,
        "\r\n",
        r#"{"error": {"class": "GenericError", "desc": "not JSON"}}"#,
        "\r\n",
        r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}"#,
        "\r\n",
        r#"{"something": "else"}"#,
        "\r\n",
    );

    fn session() -> Vec<Message> {
        let event = |name: &str, data| Message::Event(Event { name: name.to_owned(), data });
        vec![
            Message::Greeting(QemuVersion { major: 10, minor: 0, micro: 2 }),
            Message::Return { id: Some(1), value: json!({}) },
            event("SOMETHING_NEW", json!({"a": 1})),
            Message::Error { id: Some(2), description: "no such thing".to_owned() },
            Message::Error { id: None, description: "not JSON".to_owned() },
            event("STOP", Value::Null),
            Message::Unknown,
        ]
    }

    #[test]
    fn what_is_not_a_message_is_refused() {
        for text in ["hello\n", "[]\n", "1\n", "{\"event\": 1}\n", "{\"QMP\": {}}\n", "{\"return\": \n"] {
            assert!(matches!(Codec::new().push(text.as_bytes()), Err(CodecError::NotAMessage(_))), "{text}");
        }
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        let mut codec = Codec::new();
        let chunk = vec![b'x'; 1 << 20];
        for _ in 0..4 {
            assert!(codec.push(&chunk).unwrap().is_empty());
        }
        assert!(matches!(codec.push(b"x"), Err(CodecError::LineTooLong)));
    }

    #[test]
    fn a_torn_line_hides_no_other() {
        let torn = format!("{{\"timesta{{\"event\": 1}}\n{}\n{SESSION}{{\"half", "x".repeat(LINE_MAX + 1));
        let mut codec = Codec::new();
        let mut messages = Vec::new();
        for piece in torn.as_bytes().chunks(1 << 20) {
            messages.extend(codec.push_torn(piece));
        }
        assert_eq!(messages, session());
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_a_session_is_cut(
            mut cuts in proptest::collection::vec(0..SESSION.len(), 0..12),
        ) {
            cuts.sort_unstable();
            let mut codec = Codec::new();
            let mut messages = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([SESSION.len()]) {
                messages.extend(codec.push(&SESSION.as_bytes()[from..cut]).unwrap());
                from = cut;
            }
            prop_assert_eq!(messages, session());
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 0..8),
        ) {
            let mut codec = Codec::new();
            for chunk in chunks {
                if codec.push(&chunk).is_err() {
                    break;
                }
            }
        }
    }
}
