//! What differs between two documents, by meaning: elements, attributes, text and namespaces.
//!
//! The order of attributes, quotes, comments, prefixes and the white space between elements mean nothing;
//! neither does the order of elements of different names, which libvirt chooses. Elements of one name are
//! paired by what identifies them (a disk's target, a card's address), else by being equal, else by their
//! place; so a lost device is told as lost, not as a change of every one behind it. Passwords are never
//! shown. Tests: below.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use roxmltree::Node;
use serde::{Deserialize, Serialize};

use super::{attr, child, text};
use crate::domain::DomainXml;

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Where, such as `/domain/devices/disk[vda]/source/@file`.
    pub path: String,
    /// What was there; none where it came.
    pub before: Option<String>,
    /// What is there; none where it went.
    pub after: Option<String>,
}

/// Shows `/domain/memory: 1024 -> 2048`.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value: &Option<String>| value.clone().unwrap_or_else(|| "(nothing)".to_owned());
        write!(f, "{}: {} -> {}", self.path, show(&self.before), show(&self.after))
    }
}

/// What differs, in the order of the documents. Nothing where they mean the same.
pub fn differences(before: &DomainXml, after: &DomainXml) -> Vec<Difference> {
    // Both were parsed once; a text that no longer parses differs in no way that could be told.
    let (Ok(a), Ok(b)) = (before.tree(), after.tree()) else { return Vec::new() };
    changes(a.root_element(), b.root_element()).iter().map(Change::to_difference).collect()
}

/// A difference, with the nodes it is about.
#[derive(Debug)]
pub(crate) struct Change<'a, 'i> {
    /// Where.
    pub(crate) path: String,
    /// The element it is in, on both sides; of an element that came or went, its parent.
    pub(crate) parents: (Node<'a, 'i>, Node<'a, 'i>),
    /// What.
    pub(crate) kind: ChangeKind<'a, 'i>,
}

/// What differs.
#[derive(Debug)]
pub(crate) enum ChangeKind<'a, 'i> {
    /// An attribute.
    Attribute { name: String, before: Option<&'a str>, after: Option<&'a str> },
    /// The text of an element.
    Text { before: String, after: String },
    /// An element came.
    Came(Node<'a, 'i>),
    /// An element went.
    Went(Node<'a, 'i>),
}

impl Change<'_, '_> {
    /// The same for people.
    pub(crate) fn to_difference(&self) -> Difference {
        let (before, after) = match &self.kind {
            ChangeKind::Attribute { name, before, after } if is_secret(name) => {
                let another = if before.is_some() { "(another secret)" } else { "(secret)" };
                (before.map(|_| "(secret)".to_owned()), after.map(|_| another.to_owned()))
            }
            ChangeKind::Attribute { before, after, .. } => (before.map(cut), after.map(cut)),
            ChangeKind::Text { before, after } => (Some(cut(before)), Some(cut(after))),
            ChangeKind::Came(node) => (None, Some(cut(&canonical(*node)))),
            ChangeKind::Went(node) => (Some(cut(&canonical(*node))), None),
        };
        Difference { path: self.path.clone(), before, after }
    }
}

fn is_secret(attribute: &str) -> bool {
    attribute == "passwd"
}

/// At most 200 characters of it.
fn cut(text: &str) -> String {
    match text.char_indices().nth(200) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// What differs between two elements and in them.
pub(crate) fn changes<'a, 'i>(a: Node<'a, 'i>, b: Node<'a, 'i>) -> Vec<Change<'a, 'i>> {
    let mut found = Vec::new();
    walk(a, b, &format!("/{}", label(b)), &mut found);
    found
}

fn walk<'a, 'i>(a: Node<'a, 'i>, b: Node<'a, 'i>, path: &str, found: &mut Vec<Change<'a, 'i>>) {
    let mut tell = |path: String, kind| found.push(Change { path, parents: (a, b), kind });
    if a.tag_name() != b.tag_name() {
        tell(path.to_owned(), ChangeKind::Went(a));
        return tell(path.to_owned(), ChangeKind::Came(b));
    }
    let names: BTreeSet<(Option<&str>, &str)> =
        a.attributes().chain(b.attributes()).map(|attr| (attr.namespace(), attr.name())).collect();
    for name in names {
        let value = |node: Node<'a, 'i>| {
            node.attributes().find(|attr| (attr.namespace(), attr.name()) == name).map(|attr| attr.value())
        };
        let (before, after) = (value(a), value(b));
        if before != after {
            tell(
                format!("{path}/@{}", name.1),
                ChangeKind::Attribute { name: name.1.to_owned(), before, after },
            );
        }
    }
    let (before, after) = (text(a), text(b));
    if before != after {
        tell(path.to_owned(), ChangeKind::Text { before, after });
    }
    let (mut left, mut right) = (groups(a), groups(b));
    let kinds: BTreeSet<_> = left.keys().chain(right.keys()).copied().collect();
    for kind in kinds {
        let (left, right) = (left.remove(&kind).unwrap_or_default(), right.remove(&kind).unwrap_or_default());
        let alone = left.len() <= 1 && right.len() <= 1;
        for (i, pair) in pairs(&left, &right).into_iter().enumerate() {
            let node = pair.1.or(pair.0).unwrap_or(b);
            let mark = if alone {
                String::new()
            } else {
                format!("[{}]", key(node).unwrap_or_else(|| i.to_string()))
            };
            let path = format!("{path}/{}{mark}", label(node));
            match pair {
                (Some(a), Some(b)) => walk(a, b, &path, found),
                (Some(gone), None) => {
                    found.push(Change { path, parents: (a, b), kind: ChangeKind::Went(gone) });
                }
                (None, Some(new)) => {
                    found.push(Change { path, parents: (a, b), kind: ChangeKind::Came(new) });
                }
                (None, None) => {}
            }
        }
    }
}

type Kind<'a> = (Option<&'a str>, &'a str);
type Pair<'a, 'i> = (Option<Node<'a, 'i>>, Option<Node<'a, 'i>>);

fn groups<'a, 'i>(node: Node<'a, 'i>) -> BTreeMap<Kind<'a>, Vec<Node<'a, 'i>>> {
    let mut groups: BTreeMap<Kind<'a>, Vec<Node<'a, 'i>>> = BTreeMap::new();
    for child in node.children().filter(Node::is_element) {
        let name = child.tag_name();
        groups.entry((name.namespace(), name.name())).or_default().push(child);
    }
    groups
}

/// Pairs elements of one name, in the order of the second document, then those that went.
fn pairs<'a, 'i>(left: &[Node<'a, 'i>], right: &[Node<'a, 'i>]) -> Vec<Pair<'a, 'i>> {
    if let ([a], [b]) = (left, right) {
        return vec![(Some(*a), Some(*b))];
    }
    let mut partner: Vec<Option<usize>> = vec![None; right.len()];
    let mut taken = vec![false; left.len()];
    if let (Some(a), Some(b)) = (keys(left), keys(right)) {
        for (key, j) in b {
            if let Some(&i) = a.get(&key) {
                partner[j] = Some(i);
                taken[i] = true;
            }
        }
    }
    let rest_left: Vec<usize> = (0..left.len()).filter(|i| !taken[*i]).collect();
    let rest_right: Vec<usize> = (0..right.len()).filter(|j| partner[*j].is_none()).collect();
    let a: Vec<String> = rest_left.iter().map(|i| canonical(left[*i])).collect();
    let b: Vec<String> = rest_right.iter().map(|j| canonical(right[*j])).collect();
    for (i, j) in in_order(&aligned(&a, &b), a.len(), b.len()) {
        partner[rest_right[j]] = Some(rest_left[i]);
        taken[rest_left[i]] = true;
    }
    let mut result: Vec<Pair<'a, 'i>> =
        right.iter().zip(&partner).map(|(node, i)| (i.map(|i| left[i]), Some(*node))).collect();
    result.extend(left.iter().zip(taken).filter(|(_, taken)| !taken).map(|(node, _)| (Some(*node), None)));
    result
}

/// The pairs of equal elements, and between them pairs of unequal ones by their place. Never across: of
/// elements without a name the order may matter.
fn in_order(equal: &[(usize, usize)], a: usize, b: usize) -> Vec<(usize, usize)> {
    let (mut pairs, mut i, mut j) = (Vec::new(), 0, 0);
    for &(next_i, next_j) in equal.iter().chain(&[(a, b)]) {
        pairs.extend((i..next_i).zip(j..next_j));
        if next_i < a && next_j < b {
            pairs.push((next_i, next_j));
        }
        (i, j) = (next_i + 1, next_j + 1);
    }
    pairs
}

/// Each element's place by its key; none where one has no key, or two have the same.
fn keys(nodes: &[Node<'_, '_>]) -> Option<BTreeMap<String, usize>> {
    let mut keys = BTreeMap::new();
    for (i, node) in nodes.iter().enumerate() {
        if keys.insert(key(*node)?, i).is_some() {
            return None;
        }
    }
    Some(keys)
}

/// What identifies an element among those of its name.
fn key(node: Node<'_, '_>) -> Option<String> {
    let says =
        |inner: &str, name: &str| child(node, inner).and_then(|inner| attr(inner, name).map(str::to_owned));
    let own = |name: &str| attr(node, name).map(str::to_owned);
    match node.tag_name().name() {
        "disk" => says("target", "dev"),
        "interface" => says("mac", "address").map(|mac| mac.to_ascii_lowercase()),
        "controller" => {
            // The parts of one USB controller of old have one index.
            let part = own("model").filter(|model| model.starts_with("ich9-"));
            Some(format!(
                "{} {}{}",
                own("type")?,
                own("index")?,
                part.map_or(String::new(), |part| format!(" {part}"))
            ))
        }
        "filesystem" => says("target", "dir"),
        "channel" => says("target", "name"),
        "graphics" => own("type"),
        "feature" | "timer" => own("name"),
        "audio" | "cell" | "vcpu" => own("id"),
        "vcpupin" => own("vcpu"),
        _ => None,
    }
}

/// The longest series of equal texts in the same order, as pairs of places.
fn aligned(a: &[String], b: &[String]) -> Vec<(usize, usize)> {
    let start = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let mut pairs: Vec<(usize, usize)> = (0..start).map(|i| (i, i)).collect();
    let (a, b) = (&a[start..], &b[start..]);
    // No domain has thousands of unlike devices of one kind; a hostile one is told less well, not slowly.
    if a.len().saturating_mul(b.len()) > 1_000_000 {
        return pairs;
    }
    let width = b.len() + 1;
    let mut lengths = vec![0_u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            lengths[i * width + j] = if a[i] == b[j] {
                lengths[(i + 1) * width + j + 1] + 1
            } else {
                lengths[(i + 1) * width + j].max(lengths[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        if a[i] == b[j] {
            pairs.push((start + i, start + j));
            (i, j) = (i + 1, j + 1);
        } else if lengths[(i + 1) * width + j] >= lengths[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

/// An element on one line, its attributes in order, its passwords left out.
pub(crate) fn canonical(node: Node<'_, '_>) -> String {
    let mut out = String::new();
    write(node, &mut out);
    out
}

fn write(node: Node<'_, '_>, out: &mut String) {
    let name = label(node);
    out.push('<');
    out.push_str(&name);
    let attributes: BTreeMap<_, _> =
        node.attributes().map(|attr| ((attr.namespace(), attr.name()), attr.value())).collect();
    for ((_, name), value) in attributes {
        let value = if is_secret(name) { "(secret)" } else { value };
        out.push_str(&format!(" {name}='{value}'"));
    }
    let text = text(node);
    let mut children = node.children().filter(Node::is_element).peekable();
    if text.is_empty() && children.peek().is_none() {
        return out.push_str("/>");
    }
    out.push('>');
    out.push_str(&text);
    for child in children {
        write(child, out);
    }
    out.push_str(&format!("</{name}>"));
}

/// An element's name, with the prefix its document has for its namespace.
fn label(node: Node<'_, '_>) -> String {
    let name = node.tag_name();
    match name.namespace().map(|namespace| node.lookup_prefix(namespace).unwrap_or(namespace)) {
        Some(prefix) => format!("{prefix}:{}", name.name()),
        None => name.name().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(before: &str, after: &str) -> Vec<String> {
        let parse = |text: &str| DomainXml::parse(text).unwrap();
        differences(&parse(before), &parse(after)).iter().map(Difference::to_string).collect()
    }

    #[test]
    fn what_means_the_same_is_the_same() {
        let before = "<domain type='kvm' id=\"1\"><a/><b x='1' y='2'> t &amp; </b></domain>";
        let after =
            "<domain id='1' type='kvm'>\n <!-- c --><b y='2' x='1'><![CDATA[t &]]></b>\n <a></a></domain>";
        assert_eq!(told(before, after), [""; 0]);
        let prefixed =
            |prefix: &str| format!("<domain xmlns:{prefix}='u'><{prefix}:x {prefix}:y='1'/></domain>");
        assert_eq!(told(&prefixed("a"), &prefixed("b")), [""; 0]);
        assert_eq!(told(&prefixed("a"), &prefixed("a").replace("'u'", "'v'")).len(), 2);
    }

    #[test]
    fn a_difference_is_told_by_a_path_a_person_can_follow() {
        let domain = |disks: &str| format!("<domain><memory>1</memory><devices>{disks}</devices></domain>");
        let disk =
            |dev: &str, file: &str| format!("<disk><source file='{file}'/><target dev='{dev}'/></disk>");
        let both = domain(&(disk("vda", "/a") + &disk("vdb", "/b")));
        let swapped = domain(&(disk("vdb", "/c") + &disk("vda", "/a")));
        assert_eq!(told(&both, &swapped), ["/domain/devices/disk[vdb]/source/@file: /b -> /c"]);
        assert_eq!(
            told(&both, &domain(&disk("vdb", "/b"))),
            ["/domain/devices/disk[vda]: <disk><source file='/a'/><target dev='vda'/></disk> -> (nothing)"]
        );
        assert_eq!(
            told("<domain><memory unit='KiB'>1</memory></domain>", "<domain><memory>2</memory></domain>"),
            ["/domain/memory/@unit: KiB -> (nothing)", "/domain/memory: 1 -> 2"]
        );
    }

    #[test]
    fn what_has_no_name_is_paired_by_being_equal() {
        let devices = |usb: &[u32]| {
            let of = |id: &u32| format!("<hostdev><vendor id='{id}'/></hostdev>");
            format!("<domain><devices>{}</devices></domain>", usb.iter().map(of).collect::<String>())
        };
        assert_eq!(
            told(&devices(&[1, 2, 3]), &devices(&[2, 3])),
            ["/domain/devices/hostdev[2]: <hostdev><vendor id='1'/></hostdev> -> (nothing)"]
        );
        assert_eq!(
            told(&devices(&[1, 2]), &devices(&[1, 3])),
            ["/domain/devices/hostdev[1]/vendor/@id: 2 -> 3"]
        );
        // Of what has no name the order may matter, as that of arguments does.
        assert_eq!(told(&devices(&[1, 2]), &devices(&[2, 1])).len(), 2);
    }

    #[test]
    fn a_changed_password_is_told_without_either() {
        let domain = |word: &str| format!("<domain><graphics type='vnc' passwd='{word}'/></domain>");
        let told = told(&domain("hunter2"), &domain("hunter3"));
        assert_eq!(told, ["/domain/graphics/@passwd: (secret) -> (another secret)"]);
        assert!(
            !canonical(DomainXml::parse(domain("hunter2")).unwrap().tree().unwrap().root_element())
                .contains("hunter")
        );
    }
}
