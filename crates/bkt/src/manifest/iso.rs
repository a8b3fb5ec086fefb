//! Where an installer's media are: files of the host, or URLs that are fetched only when asked for.
//!
//! Pure. Tests: in `tests/manifest`.

use std::collections::HashMap;

use plasmavmc_host::image::Digest;
use plasmavmc_source::At;

use super::Faults;
use super::definition::IsoSource;
use super::limits::{MAX_ISO_SOURCES, MAX_URL_BYTES};
use super::path;
use super::read::Environment;
use super::rule::Rule;
use super::walk::Node;

const EXAMPLE: &str = "\"iso_sources\": [{ \"path\": \"~/Downloads/NAME.iso\" }]";

/// The media with their places; what is faulty is noted and left out.
pub(super) fn read_sources(
    node: &Node<'_>,
    env: Environment<'_>,
    faults: &mut Faults<'_>,
) -> Option<Vec<(IsoSource, At)>> {
    let elements = node.list(EXAMPLE, faults)?;
    if elements.len() > MAX_ISO_SOURCES {
        faults.push(&node.at, &Rule::TooManyIsos { found: elements.len() });
        return None;
    }
    let sources: Vec<_> = elements.iter().filter_map(|element| read_source(element, env, faults)).collect();
    let mut seen: HashMap<&IsoSource, &At> = HashMap::new();
    for (source, at) in &sources {
        if let Some(first) = seen.insert(source, at) {
            let (IsoSource::Path { written: found, .. } | IsoSource::Url { url: found, .. }) = source;
            faults.push_related(
                at,
                &Rule::SameIso { found: found.clone() },
                Some((first, "it is here already")),
            );
        }
    }
    Some(sources)
}

fn read_source(node: &Node<'_>, env: Environment<'_>, faults: &mut Faults<'_>) -> Option<(IsoSource, At)> {
    let mut object = node.object("an ISO source", None, EXAMPLE, faults)?;
    let (path, url, checksum) = (object.take("path"), object.take("url"), object.take("checksum"));
    let source = match (path, url) {
        (Some(path), None) => {
            if let Some(checksum) = checksum {
                faults.push(&checksum.at, &Rule::ChecksumOfPath);
            }
            read_path(&path, env, faults)
        }
        (None, Some(url)) => read_url(&url, checksum.as_ref(), faults),
        _ => {
            faults.push(object.at(), &Rule::IsoOneOf);
            None
        }
    };
    object.finish_strictly(faults);
    source
}

fn read_path(node: &Node<'_>, env: Environment<'_>, faults: &mut Faults<'_>) -> Option<(IsoSource, At)> {
    let text = node.text("\"path\": \"~/Downloads/NAME.iso\"", faults)?;
    match path::iso(text, env.home) {
        Ok(path) => Some((IsoSource::Path { written: text.to_owned(), path }, node.at.clone())),
        Err(rule) => {
            faults.push(&node.at, &rule);
            None
        }
    }
}

fn read_url(
    node: &Node<'_>,
    checksum: Option<&Node<'_>>,
    faults: &mut Faults<'_>,
) -> Option<(IsoSource, At)> {
    let text = node.text("\"url\": \"https://example.org/NAME.iso\"", faults)?;
    let checksum = match checksum {
        Some(node) => Some(read_checksum(node, faults)?),
        None => None,
    };
    match check_url(text) {
        Ok(()) => Some((IsoSource::Url { url: text.to_owned(), checksum }, node.at.clone())),
        Err(rule) => {
            faults.push(&node.at, &rule);
            None
        }
    }
}

fn read_checksum(node: &Node<'_>, faults: &mut Faults<'_>) -> Option<Digest> {
    let text = node.text("\"checksum\": \"sha256:…\"", faults)?;
    match text.parse() {
        Ok(digest) => Some(digest),
        Err(error) => {
            faults.push(&node.at, &Rule::Checksum { found: text.to_owned(), error });
            None
        }
    }
}

/// Whether a text is a URL that can be fetched.
fn check_url(text: &str) -> Result<(), Rule> {
    let found = || text.to_owned();
    let (scheme, rest) = text.split_once("://").ok_or_else(|| Rule::Url { found: found() })?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(Rule::Url { found: found() });
    }
    // What RFC 3986 keeps out of a URL.
    let is_plain = |c: char| c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(c);
    if text.len() > MAX_URL_BYTES || !text.chars().all(is_plain) {
        return Err(Rule::UrlCharacters { found: found() });
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(Rule::UrlSecret);
    }
    let host = match authority.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((host, _)) => host,
        None => authority.split(':').next().unwrap_or_default(),
    };
    if host.is_empty() { Err(Rule::Url { found: found() }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_one_that_can_be_fetched() {
        for url in
            ["https://example.org/a.iso", "HTTP://h:8080/a%20b.iso?x=1", "http://[::1]:80/a", "http://h"]
        {
            assert_eq!(check_url(url), Ok(()), "{url}");
        }
        for url in ["", "a.iso", "ftp://h/a", "file:///a.iso", "https://", "https:///a", "https://:80/a"] {
            assert!(matches!(check_url(url), Err(Rule::Url { .. })), "{url}");
        }
        for url in ["https://h/a b", "https://h/ü", "https://h/a\nb", "https://h/<x>"] {
            assert!(matches!(check_url(url), Err(Rule::UrlCharacters { .. })), "{url:?}");
        }
        assert_eq!(check_url("https://me:secret@h/a"), Err(Rule::UrlSecret));
    }
}
