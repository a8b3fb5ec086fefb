//! The SSH keys of a workspace: the one its user gets in with, and each guest's host key.
//!
//! Both are made here, on the host, before a guest first boots: so the guest knows its user, and the
//! user the guest, and nobody has to trust what answers first. A key is made once and kept, readable by
//! this user only. It is never on a command line and never in a log: [`KeyPair`] shows no secret.
//!
//! Never does: read a key of the user's own. Tests: below, in `openssh`, and against `ssh-keygen` in
//! `tests/keys_oracle.rs`.

mod openssh;

use std::fmt;
use std::fs;
use std::io::Write;
use std::path::Path;

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use self::openssh::Pair;
use crate::{HostError, IoContext, Layout, plain, publish};
use plasmavmc_types::VmName;

/// An Ed25519 key pair.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPair {
    seed: [u8; 32],
    public: [u8; 32],
}

impl KeyPair {
    /// Makes a new one.
    ///
    /// # Errors
    /// [`HostError::NoRandomness`].
    pub fn generate() -> Result<Self, HostError> {
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| HostError::NoRandomness)?;
        Ok(Self::from_seed(seed))
    }

    fn from_seed(seed: [u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed);
        let pair = pair.expect("every 32 bytes are the secret of an Ed25519 key");
        let public = pair.public_key().as_ref().try_into();
        Self { seed, public: public.expect("an Ed25519 public key has 32 bytes") }
    }

    /// The pair in an OpenSSH private file; none where it is not an Ed25519 key without a passphrase.
    pub fn from_openssh(file: &str) -> Option<Self> {
        openssh::seed_of(file).map(Self::from_seed)
    }

    /// The private half, as OpenSSH keeps it in a file.
    pub fn to_openssh(&self, comment: &str) -> String {
        let [a, b, c, d, ..] = self.public;
        openssh::private_file(&self.pair(), comment, u32::from_be_bytes([a, b, c, d]))
    }

    /// The private half, as Dropbear keeps it in a file.
    pub fn to_dropbear(&self) -> Vec<u8> {
        openssh::dropbear_file(&self.pair())
    }

    /// The public half: algorithm and key, without a comment.
    pub fn public_line(&self) -> String {
        openssh::public_line(&self.public)
    }

    fn pair(&self) -> Pair<'_> {
        Pair { seed: &self.seed, public: &self.public }
    }
}

/// Shows the public half alone.
impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public_line()).finish_non_exhaustive()
    }
}

/// The key a workspace's user gets into its guests with, made where there is none.
///
/// # Errors
/// [`HostError`] where it cannot be read or made.
pub fn client_key(layout: &Layout) -> Result<KeyPair, HostError> {
    let pair = ensure(layout, &layout.client_key(), CLIENT_COMMENT)?;
    // ssh believes this file about the private one, so it has to be right.
    let public = format!("{} {CLIENT_COMMENT}\n", pair.public_line());
    write_if_different(&layout.client_public_key(), &public)?;
    Ok(pair)
}

/// Most bytes of a key's file that are read: an Ed25519 key has some 400.
const READ_MAX: u64 = 64 << 10;

/// What the public half of a workspace's key ends with, to be recognised by in a guest.
pub const CLIENT_COMMENT: &str = "castra";

/// The host key of a VM's guest, made where there is none; `alias` is the name ssh knows it by.
///
/// # Errors
/// [`HostError`] where it cannot be read or made.
pub fn host_key(layout: &Layout, vm: &VmName, alias: &str) -> Result<KeyPair, HostError> {
    let pair = ensure(layout, &layout.host_key(vm), vm.as_str())?;
    write_if_different(&layout.known_hosts(vm), &format!("{alias} {}\n", pair.public_line()))?;
    Ok(pair)
}

/// Reads the key at `path`, or makes it. Of several commands that make it at once, one wins and the
/// others read what it made.
fn ensure(layout: &Layout, path: &Path, comment: &str) -> Result<KeyPair, HostError> {
    if let Some(pair) = read(path)? {
        return Ok(pair);
    }
    publish::private_dir_below(layout.root(), &layout.keys())?;
    let pair = KeyPair::generate()?;
    let mut file = publish::temporary(path)?;
    file.write_all(pair.to_openssh(comment).as_bytes()).context("write", path)?;
    if publish::persist_new(file, path)? {
        return Ok(pair);
    }
    read(path)?.ok_or_else(|| malformed(path, "it went away while it was read"))
}

/// A link in a key's place, which may have come with a cloned repository, would hand a key of the user's
/// own to a guest: it is not followed.
fn read(path: &Path) -> Result<Option<KeyPair>, HostError> {
    let Some(bytes) = plain::read(path, READ_MAX)? else { return Ok(None) };
    match std::str::from_utf8(&bytes).ok().and_then(KeyPair::from_openssh) {
        Some(pair) => Ok(Some(pair)),
        None => Err(malformed(path, "it has a passphrase, is of another kind or is damaged")),
    }
}

fn malformed(path: &Path, reason: &str) -> HostError {
    let expected = "an Ed25519 key that OpenSSH wrote";
    HostError::Malformed { path: path.to_owned(), expected, reason: reason.to_owned() }
}

fn write_if_different(path: &Path, text: &str) -> Result<(), HostError> {
    if fs::read(path).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(());
    }
    publish::write(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_public_half_follows_from_the_secret_as_rfc_8032_says() {
        // Section 7.1, test 1.
        let secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let bytes = |text: &str| -> [u8; 32] {
            std::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
        };
        assert_eq!(KeyPair::from_seed(bytes(secret)).public, bytes(public));
    }

    #[test]
    fn a_key_is_made_once_kept_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let vm: VmName = "web".parse().unwrap();
        let (client, host) = (client_key(&layout).unwrap(), host_key(&layout, &vm, "a-web").unwrap());
        assert_ne!(client, host);
        assert_eq!(client_key(&layout).unwrap(), client);
        assert_eq!(host_key(&layout, &vm, "a-web").unwrap(), host);
        let known = fs::read_to_string(layout.known_hosts(&vm)).unwrap();
        assert_eq!(known, format!("a-web {}\n", host.public_line()));
        for path in [layout.client_key(), layout.host_key(&vm)] {
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::metadata(layout.keys()).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_public_half_that_belongs_to_another_key_is_put_right() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let pair = client_key(&layout).unwrap();
        fs::write(layout.client_public_key(), "ssh-ed25519 AAAA other\n").unwrap();
        client_key(&layout).unwrap();
        let public = fs::read_to_string(layout.client_public_key()).unwrap();
        assert_eq!(public, format!("{} castra\n", pair.public_line()));
    }

    #[test]
    fn a_damaged_key_is_told_of_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        client_key(&layout).unwrap();
        fs::write(layout.client_key(), "half").unwrap();
        assert!(matches!(client_key(&layout), Err(HostError::Malformed { .. })));
        assert_eq!(fs::read_to_string(layout.client_key()).unwrap(), "half");
    }

    #[test]
    fn a_link_in_a_keys_place_hands_no_key_of_the_users_to_a_guest() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("w"));
        let own = dir.path().join("id_ed25519");
        fs::write(&own, KeyPair::generate().unwrap().to_openssh("me")).unwrap();
        fs::create_dir_all(layout.keys()).unwrap();
        let vm: VmName = "web".parse().unwrap();
        std::os::unix::fs::symlink(&own, layout.host_key(&vm)).unwrap();
        assert!(matches!(host_key(&layout, &vm, "a-web"), Err(HostError::Malformed { .. })));
        fs::remove_dir_all(layout.keys()).unwrap();
        std::os::unix::fs::symlink(dir.path(), layout.keys()).unwrap();
        assert!(host_key(&layout, &vm, "a-web").is_err());
    }

    #[test]
    fn of_many_who_make_a_key_at_once_all_get_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let pairs: Vec<KeyPair> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| client_key(&layout).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(pairs.iter().all(|pair| *pair == pairs[0]));
    }

    #[test]
    fn a_secret_is_never_shown() {
        let pair = KeyPair::from_seed([0x41; 32]);
        let shown = format!("{pair:?}");
        assert!(shown.contains(&pair.public_line()) && !shown.contains("65, 65"), "{shown}");
    }
}
