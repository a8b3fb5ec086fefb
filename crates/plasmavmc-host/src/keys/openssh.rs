//! An Ed25519 key in the forms that OpenSSH and Dropbear keep it in. Pure.
//!
//! OpenSSH's private file is its `PROTOCOL.key`, its public line RFC 4253 (section 6.6) with RFC 8709;
//! Dropbear's file is the same two numbers under the same name. Only keys without a passphrase are
//! read: nobody could type one. Tests: below, and against `ssh-keygen` in `tests/keys_oracle.rs`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The algorithm's name, in both forms.
const ALGORITHM: &str = "ssh-ed25519";
/// What a private file begins with, once decoded.
const MAGIC: &[u8] = b"openssh-key-v1\0";
const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
/// Characters in a line of a private file.
const LINE: usize = 70;
/// The unit a private part without a cipher is padded to.
const BLOCK: usize = 8;

/// The bytes of a key pair: its secret, and the point that follows from it.
pub(super) struct Pair<'a> {
    pub(super) seed: &'a [u8; 32],
    pub(super) public: &'a [u8; 32],
}

/// A length and the bytes, as everything in these forms is written.
fn put(into: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("every part of a key is shorter than 4 GiB");
    into.extend(length.to_be_bytes());
    into.extend(bytes);
}

/// A public key as it crosses the wire.
fn blob(public: &[u8; 32]) -> Vec<u8> {
    let mut blob = Vec::new();
    put(&mut blob, ALGORITHM.as_bytes());
    put(&mut blob, public);
    blob
}

/// A public key as a file or a list of known hosts holds it: algorithm and key.
pub(super) fn public_line(public: &[u8; 32]) -> String {
    format!("{ALGORITHM} {}", STANDARD.encode(blob(public)))
}

/// The private file. `check` is any number: a reader compares its two copies.
pub(super) fn private_file(pair: &Pair<'_>, comment: &str, check: u32) -> String {
    let mut secret = Vec::new();
    secret.extend(check.to_be_bytes());
    secret.extend(check.to_be_bytes());
    put(&mut secret, ALGORITHM.as_bytes());
    put(&mut secret, pair.public);
    put(&mut secret, &[pair.seed.as_slice(), pair.public].concat());
    put(&mut secret, comment.as_bytes());
    let padding = secret.len().next_multiple_of(BLOCK) - secret.len();
    secret.extend((1..=BLOCK as u8).take(padding));

    let mut bytes = MAGIC.to_vec();
    for none in ["none", "none", ""] {
        put(&mut bytes, none.as_bytes());
    }
    bytes.extend(1_u32.to_be_bytes());
    put(&mut bytes, &blob(pair.public));
    put(&mut bytes, &secret);

    let text = STANDARD.encode(bytes);
    let mut file = format!("{BEGIN}\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        file.push_str(line);
        file.push('\n');
        rest = after;
    }
    file.push_str(END);
    file.push('\n');
    file
}

/// The secret of a private file; none where it is not that of an Ed25519 key without a passphrase.
pub(super) fn seed_of(file: &str) -> Option<[u8; 32]> {
    let body = file.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let text: String = body.split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(text).ok()?;
    let mut rest = bytes.strip_prefix(MAGIC)?;
    for expected in ["none", "none", ""] {
        if take(&mut rest)? != expected.as_bytes() {
            return None;
        }
    }
    if number(&mut rest)? != 1 {
        return None;
    }
    let _public = take(&mut rest)?;
    let mut secret = take(&mut rest)?;
    if number(&mut secret)? != number(&mut secret)? || take(&mut secret)? != ALGORITHM.as_bytes() {
        return None;
    }
    let public = take(&mut secret)?;
    let (seed, point) = take(&mut secret)?.split_first_chunk::<32>()?;
    (point == public).then_some(*seed)
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (bytes, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(u32::from_be_bytes(*bytes))
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(rest)?).ok()?;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}

/// The file Dropbear reads.
pub(super) fn dropbear_file(pair: &Pair<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(&mut bytes, ALGORITHM.as_bytes());
    put(&mut bytes, &[pair.seed.as_slice(), pair.public].concat());
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_usable_private_file_is_refused() {
        let pair = Pair { seed: &[7; 32], public: &[9; 32] };
        let good = private_file(&pair, "castra", 1);
        assert_eq!(seed_of(&good), Some([7; 32]));
        let body: String = good.lines().filter(|line| !line.starts_with("-----")).collect();
        let bytes = STANDARD.decode(body).unwrap();
        let file = |bytes: &[u8]| format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(bytes));
        assert_eq!(seed_of(&file(&bytes)), Some([7; 32]));
        for cut in 0..bytes.len() - BLOCK {
            assert_eq!(seed_of(&file(&bytes[..cut])), None, "cut at {cut}");
        }
        let with_passphrase = good.replace("BEGIN OPENSSH", "BEGIN RSA");
        for text in ["", BEGIN, END, &with_passphrase, &format!("{BEGIN}\n!\n{END}")] {
            assert_eq!(seed_of(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_private_file_gives_its_secret_back(seed: [u8; 32], public: [u8; 32], comment in "[ -~]{0,40}", check: u32) {
            let file = private_file(&Pair { seed: &seed, public: &public }, &comment, check);
            prop_assert_eq!(seed_of(&file), Some(seed));
            prop_assert!(file.lines().all(|line| line.len() <= LINE));
        }

        #[test]
        fn no_text_makes_the_reader_fail(text in "(?s).{0,200}", bytes: Vec<u8>) {
            seed_of(&text);
            seed_of(&format!("{BEGIN}{}{END}", STANDARD.encode([MAGIC, &bytes].concat())));
        }
    }
}
