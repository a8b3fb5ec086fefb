//! `vendor-data`: what Castra tells cloud-init beside a user's own user-data, which wins over it.
//!
//! One part stands as it is, several become one MIME message, as cloud-init has it. Pure. Tests: below.

/// Ends no line of a part: each is text that Castra itself wrote.
const BOUNDARY: &str = "==castra==";

/// One thing cloud-init is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Its kind, as cloud-init names it after `text/`: "cloud-config".
    pub(super) kind: &'static str,
    /// What it says; its first line tells its kind too.
    pub(super) text: String,
}

/// The document these parts make; none where there are none.
pub(super) fn document(parts: &[Part]) -> Option<Vec<u8>> {
    match parts {
        [] => None,
        [only] => Some(only.text.clone().into_bytes()),
        several => Some(message(several).into_bytes()),
    }
}

fn message(parts: &[Part]) -> String {
    let mut text = format!("Content-Type: multipart/mixed; boundary=\"{BOUNDARY}\"\nMIME-Version: 1.0\n\n");
    for Part { kind, text: said } in parts {
        let head = format!("Content-Type: text/{kind}; charset=\"utf-8\"\nContent-Transfer-Encoding: 8bit");
        text.push_str(&format!("--{BOUNDARY}\n{head}\n\n{said}\n"));
    }
    text.push_str(&format!("--{BOUNDARY}--\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_stands_as_it_is_and_several_are_one_message() {
        let part = |kind, text: &str| Part { kind, text: text.to_owned() };
        let (config, hook) =
            (part("cloud-config", "#cloud-config\n{}\n"), part("cloud-boothook", "#cloud-boothook\n"));
        assert_eq!(document(&[]), None);
        assert_eq!(document(std::slice::from_ref(&config)).unwrap(), b"#cloud-config\n{}\n");
        let several = String::from_utf8(document(&[config, hook]).unwrap()).unwrap();
        assert_eq!(
            several,
            "Content-Type: multipart/mixed; boundary=\"==castra==\"\nMIME-Version: 1.0\n\n\
             --==castra==\nContent-Type: text/cloud-config; charset=\"utf-8\"\nContent-Transfer-Encoding: 8bit\n\n\
             #cloud-config\n{}\n\n\
             --==castra==\nContent-Type: text/cloud-boothook; charset=\"utf-8\"\nContent-Transfer-Encoding: 8bit\n\n\
             #cloud-boothook\n\n--==castra==--\n"
        );
    }
}
