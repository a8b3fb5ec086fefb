//! Writes what OpenSSH reads: one `Host` block per guest. Pure.
//!
//! A path may hold anything a directory's name may. OpenSSH reads a quoted word, and in it `\"` and
//! `\\`; in the files named here it then replaces `%` and `${...}`, and in `Include` a pattern's characters.
//! What it offers no way to write is refused. Tests: below, and against OpenSSH in `tests/it/ssh.rs`.

use std::path::Path;

use super::{Error, SshHost, WorkspaceId};

/// The configuration for these guests.
pub(super) fn text(workspace: &WorkspaceId, hosts: &[SshHost]) -> Result<String, Error> {
    let mut text = format!(
        "# The guests of castra's workspace {workspace}, as `castra ssh-config` writes them.\n\
         # Use it with `ssh -F`, or with an Include line at the top of ~/.ssh/config.\n"
    );
    for host in hosts {
        let (key, known) = (file(&host.identity_file)?, file(&host.known_hosts)?);
        let SshHost { address, port, user, host_key_alias, .. } = host;
        let names = host.names.join(" ");
        text.push_str(&format!(
            "\nHost {names}\n  HostName {address}\n  Port {port}\n  User {user}\n  IdentityFile {key}\n  \
             IdentitiesOnly yes\n  UserKnownHostsFile {known}\n  StrictHostKeyChecking yes\n  \
             HostKeyAlias {host_key_alias}\n"
        ));
    }
    Ok(text)
}

/// The line that makes a configuration use this one.
pub(super) fn include(path: &Path) -> Result<String, Error> {
    let mut pattern = String::new();
    for c in plain(path)?.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '{' | '}') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    Ok(format!("Include {}", quoted(&pattern)))
}

/// A path where ssh replaces `%` and what follows it.
fn file(path: &Path) -> Result<String, Error> {
    Ok(quoted(&plain(path)?.replace('%', "%%")))
}

/// A path that can be written down for ssh at all.
fn plain(path: &Path) -> Result<&str, Error> {
    let text = path.to_str().filter(|text| !text.contains(char::is_control) && !text.contains("${"));
    text.ok_or_else(|| Error::PathForSsh { path: path.to_owned() })
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', r#"\""#))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_guest_is_one_block() {
        let host = SshHost {
            vm: "web".parse().unwrap(),
            names: vec!["web".to_owned(), "shop.web".to_owned()],
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            port: 2222,
            user: "debian".to_owned(),
            identity_file: "/my state/keys/id_ed25519".into(),
            known_hosts: "/100%/keys/web.known_hosts".into(),
            host_key_alias: "shop-0123456789ab.web".to_owned(),
        };
        insta::assert_snapshot!(text(&"shop-0123456789ab".parse().unwrap(), &[host]).unwrap(), @r#"
        # The guests of castra's workspace shop-0123456789ab, as `castra ssh-config` writes them.
        # Use it with `ssh -F`, or with an Include line at the top of ~/.ssh/config.

        Host web shop.web
          HostName 127.0.0.1
          Port 2222
          User debian
          IdentityFile "/my state/keys/id_ed25519"
          IdentitiesOnly yes
          UserKnownHostsFile "/100%%/keys/web.known_hosts"
          StrictHostKeyChecking yes
          HostKeyAlias shop-0123456789ab.web
        "#);
    }

    #[test]
    fn what_ssh_would_read_as_something_else_is_escaped() {
        for (path, expected) in [
            ("/a b", r#""/a b""#),
            (r#"/a"b"#, r#""/a\"b""#),
            (r"/a\b", r#""/a\\b""#),
            ("/%h", r#""/%%h""#),
            ("/#$x", r##""/#$x""##),
        ] {
            assert_eq!(file(Path::new(path)).unwrap(), expected);
        }
        assert_eq!(include(Path::new("/a b/[x]*%")).unwrap(), r#"Include "/a b/\\[x\\]\\*%""#);
    }

    #[test]
    fn what_cannot_be_written_for_ssh_is_refused() {
        for path in [&b"/a\nHost *"[..], b"/\xff", b"/${HOME}", b"/a\0b"] {
            let path = Path::new(std::ffi::OsStr::from_bytes(path));
            assert!(matches!(file(path), Err(Error::PathForSsh { .. })), "{path:?}");
            assert!(include(path).is_err(), "{path:?}");
        }
    }
}
