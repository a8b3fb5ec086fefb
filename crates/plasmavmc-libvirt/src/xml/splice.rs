//! Changes of bytes in a text, collected against one tree and applied from its end to its beginning.
//!
//! What is not named stays as it is, byte for byte: comments, quotes, white space, the order of
//! attributes. An element that is added takes the indentation of its neighbours; one that goes takes its
//! line along. Never does: look at what it writes; the caller reads the result again. Tests: below.

use std::ops::Range;

use roxmltree::Node;

use super::element::{escape, escape_text};
use super::{Element, own_attribute};

/// Changes to one text.
#[derive(Debug)]
pub(crate) struct Splices<'t> {
    text: &'t str,
    list: Vec<(Range<usize>, String)>,
}

impl<'t> Splices<'t> {
    /// No changes yet.
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, list: Vec::new() }
    }

    /// The text with the changes.
    pub(crate) fn apply(mut self) -> String {
        // Stable: what is added at one place keeps its order, and comes before what goes there.
        self.list.sort_by_key(|(range, _)| (range.start, range.end));
        let mut out = String::with_capacity(self.text.len() + 256);
        let mut at = 0;
        for (range, with) in &self.list {
            // Within something that is replaced as a whole.
            if range.start < at {
                continue;
            }
            out.push_str(&self.text[at..range.start]);
            out.push_str(with);
            at = range.end;
        }
        out.push_str(&self.text[at..]);
        out
    }

    /// Sets an attribute, in its place or after the others.
    pub(crate) fn set_attribute(&mut self, node: Node<'_, '_>, name: &str, value: &str) {
        match own_attribute(node, name) {
            Some(attribute) if attribute.value() == value => {}
            Some(attribute) => {
                let range = attribute.range();
                // Between the quotes: the parser's own range of the value is off behind 255 blanks.
                let written = &self.text[range.clone()];
                let quote = written.find(['"', '\'']).unwrap_or(0);
                self.list.push((range.start + quote + 1..range.end - 1, escape(value)));
            }
            None => {
                let at = self.attributes_end(node);
                self.list.push((at..at, format!(" {name}='{}'", escape(value))));
            }
        }
    }

    /// Removes an attribute with the white space before it.
    pub(crate) fn remove_attribute(&mut self, node: Node<'_, '_>, name: &str) {
        if let Some(attribute) = own_attribute(node, name) {
            let range = attribute.range();
            let start = self.text[..range.start].trim_end().len();
            self.list.push((start..range.end, String::new()));
        }
    }

    /// Replaces all that is in an element by text.
    pub(crate) fn set_text(&mut self, node: Node<'_, '_>, text: &str) {
        match self.inner(node) {
            Some(inner) => self.list.push((inner, escape_text(text))),
            None => {
                let end = node.range().end;
                let name = self.name(node);
                self.list.push((end - 2..end, format!(">{}</{name}>", escape_text(text))));
            }
        }
    }

    /// Replaces an element.
    pub(crate) fn replace(&mut self, node: Node<'_, '_>, with: &Element) {
        let indent = self.indent(node).map(str::to_owned);
        self.list.push((node.range(), with.to_xml(indent.as_deref())));
    }

    /// Removes an element, with its line where it has one of its own.
    pub(crate) fn remove(&mut self, node: Node<'_, '_>) {
        let range = node.range();
        let start = match self.indent(node) {
            Some(indent) => {
                let line = range.start - indent.len();
                // With the line break before it: `\n` or `\r\n`.
                let before = &self.text[..line];
                before.strip_suffix("\r\n").or(before.strip_suffix('\n')).map_or(line, str::len)
            }
            None => range.start,
        };
        self.list.push((start..range.end, String::new()));
    }

    /// Adds elements behind a sibling.
    pub(crate) fn insert_after(&mut self, sibling: Node<'_, '_>, elements: &[Element]) {
        let at = sibling.range().end;
        let indent = self.indent(sibling).map(str::to_owned);
        let added = lines(elements, indent.as_deref());
        self.list.push((at..at, added));
    }

    /// Adds elements before a sibling.
    pub(crate) fn insert_before(&mut self, sibling: Node<'_, '_>, element: &Element) {
        let at = sibling.range().start;
        let indent = self.indent(sibling).map(str::to_owned);
        let mut added = element.to_xml(indent.as_deref());
        if let Some(indent) = indent {
            added.push('\n');
            added.push_str(&indent);
        }
        self.list.push((at..at, added));
    }

    /// Adds elements as the last children. Once for each parent: an empty element is opened for them.
    pub(crate) fn append(&mut self, parent: Node<'_, '_>, elements: &[Element]) {
        if elements.is_empty() {
            return;
        }
        if let Some(last) = parent.last_element_child() {
            return self.insert_after(last, elements);
        }
        let outer = self.indent(parent).map(str::to_owned);
        let indent = outer.as_ref().map(|outer| format!("{outer}  "));
        let mut added = lines(elements, indent.as_deref());
        match self.inner(parent) {
            Some(inner) => {
                // Behind what text or comments there are, before the white space that closes the element.
                let at = inner.start + self.text[inner.clone()].trim_end().len();
                if let (Some(outer), true) = (&outer, at == inner.end) {
                    added.push('\n');
                    added.push_str(outer);
                }
                self.list.push((at..at, added));
            }
            None => {
                if let Some(outer) = &outer {
                    added.push('\n');
                    added.push_str(outer);
                }
                let (end, name) = (parent.range().end, self.name(parent));
                self.list.push((end - 2..end, format!(">{added}</{name}>")));
            }
        }
    }

    /// The white space before an element, where nothing else precedes it on its line.
    fn indent(&self, node: Node<'_, '_>) -> Option<&'t str> {
        let before = &self.text[..node.range().start];
        let line = &before[before.rfind('\n').map_or(0, |at| at + 1)..];
        let starts_line = line.len() < before.len() || before.is_empty();
        (starts_line && line.bytes().all(|byte| matches!(byte, b' ' | b'\t'))).then_some(line)
    }

    /// An element's name as it is written, with its prefix.
    fn name(&self, node: Node<'_, '_>) -> &'t str {
        let tag = &self.text[node.range().start + 1..];
        &tag[..tag.find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>')).unwrap_or(tag.len())]
    }

    /// Where one more attribute goes: behind the last one, or the name.
    fn attributes_end(&self, node: Node<'_, '_>) -> usize {
        let start = node.range().start;
        let tag = &self.text[start..start + self.tag_len(node)];
        let body = tag.strip_suffix("/>").or(tag.strip_suffix('>')).unwrap_or(tag);
        start + body.trim_end().len()
    }

    /// What is between the tags; none for `<empty/>`.
    fn inner(&self, node: Node<'_, '_>) -> Option<Range<usize>> {
        let range = node.range();
        let start = range.start + self.tag_len(node);
        if self.text[..start].ends_with("/>") {
            return None;
        }
        let end = range.start + self.text[range.clone()].rfind("</").unwrap_or(range.len());
        Some(start..end)
    }

    /// The length of an element's first tag.
    fn tag_len(&self, node: Node<'_, '_>) -> usize {
        let range = node.range();
        let mut quote = None;
        for (i, byte) in self.text[range.clone()].bytes().enumerate() {
            match (quote, byte) {
                (Some(open), _) if open == byte => quote = None,
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, b'>') => return i + 1,
                _ => {}
            }
        }
        range.len()
    }
}

/// Each element on a line of its own, where lines are indented.
fn lines(elements: &[Element], indent: Option<&str>) -> String {
    let mut out = String::new();
    for element in elements {
        if let Some(indent) = indent {
            out.push('\n');
            out.push_str(indent);
        }
        out.push_str(&element.to_xml(indent));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::{at, read};

    fn changed(text: &str, change: impl FnOnce(&mut Splices<'_>, Node<'_, '_>)) -> String {
        let document = read(text).unwrap();
        let mut splices = Splices::new(text);
        change(&mut splices, document.root_element());
        let out = splices.apply();
        read(&out).unwrap();
        out
    }

    #[test]
    fn an_attribute_is_set_in_its_place_and_with_its_quotes() {
        let set = |text| changed(text, |splices, root| splices.set_attribute(root, "b", "x'\">y"));
        assert_eq!(set("<a b=\"1\" c='2'/>"), "<a b=\"x&apos;&quot;&gt;y\" c='2'/>");
        assert_eq!(set("<a b = ''/>"), "<a b = 'x&apos;&quot;&gt;y'/>");
        assert_eq!(set("<a c='>' />"), "<a c='>' b='x&apos;&quot;&gt;y' />");
        assert_eq!(set("<a></a>"), "<a b='x&apos;&quot;&gt;y'></a>");
        let far = format!("<a b{}='1'/>", " ".repeat(300));
        assert_eq!(set(&far), far.replace('1', "x&apos;&quot;&gt;y"));
        let spaced = "<a xmlns:n='u' n:b='0'\n/>";
        assert_eq!(set(spaced), "<a xmlns:n='u' n:b='0' b='x&apos;&quot;&gt;y'\n/>");
    }

    #[test]
    fn an_attribute_goes_with_the_blank_before_it() {
        let gone = |text| changed(text, |splices, root| splices.remove_attribute(root, "b"));
        assert_eq!(gone("<a b='1' c='2'/>"), "<a c='2'/>");
        assert_eq!(gone("<a c='2'\n   b='1'/>"), "<a c='2'/>");
        assert_eq!(gone("<a c='2'/>"), "<a c='2'/>");
    }

    #[test]
    fn text_replaces_what_was_there() {
        let set = |text| changed(text, |splices, root| splices.set_text(root, "<x>"));
        assert_eq!(set("<a c='1'/>"), "<a c='1'>&lt;x&gt;</a>");
        assert_eq!(set("<a></a>"), "<a>&lt;x&gt;</a>");
        assert_eq!(set("<a>1<!-- c --><b/></a >"), "<a>&lt;x&gt;</a >");
        assert_eq!(set("<n:a xmlns:n='u'/>"), "<n:a xmlns:n='u'>&lt;x&gt;</n:a>");
    }

    #[test]
    fn an_element_comes_and_goes_with_its_line() {
        let text = "<a>\n  <b/>\n  <c>\n  </c>\n</a>";
        let add = |splices: &mut Splices<'_>, root: Node<'_, '_>| {
            splices.append(root, &[Element::new("d").child(Element::new("e"))]);
        };
        let with = changed(text, add);
        assert_eq!(with, "<a>\n  <b/>\n  <c>\n  </c>\n  <d>\n    <e/>\n  </d>\n</a>");
        let without = changed(&with, |splices, root| splices.remove(at(root, &["d"]).unwrap()));
        assert_eq!(without, text);
        assert_eq!(changed("<a><b/></a>", add), "<a><b/><d><e/></d></a>");
        assert_eq!(changed("<a/>", add), "<a>\n  <d>\n    <e/>\n  </d>\n</a>");
        assert_eq!(changed("<a></a>", add), "<a>\n  <d>\n    <e/>\n  </d>\n</a>");
        assert_eq!(changed("<a>\n</a>", add), "<a>\n  <d>\n    <e/>\n  </d>\n</a>");
        assert_eq!(
            changed("<a>\n  <!-- c -->\n</a>", add),
            "<a>\n  <!-- c -->\n  <d>\n    <e/>\n  </d>\n</a>"
        );
        assert_eq!(
            changed("<a>\r\n  <b/>\r\n</a>", |splices, root| splices.remove(at(root, &["b"]).unwrap())),
            "<a>\r\n</a>"
        );
    }

    #[test]
    fn changes_within_what_goes_are_void() {
        let out = changed("<a><b c='1'/><d/></a>", |splices, root| {
            let b = at(root, &["b"]).unwrap();
            splices.set_attribute(b, "c", "2");
            splices.remove(b);
            splices.insert_after(b, &[Element::new("e")]);
            splices.insert_before(at(root, &["d"]).unwrap(), &Element::new("f"));
        });
        assert_eq!(out, "<a><e/><f/><d/></a>");
    }
}
