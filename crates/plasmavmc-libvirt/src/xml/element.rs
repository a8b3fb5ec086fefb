//! Elements that we write: the one place that escapes.
//!
//! Written as libvirt writes: two spaces a level, single quotes. Never does: write a character that XML
//! has no way to say; callers ask [`is_writable`] of what is not theirs. Tests: below.

/// An element to write.
#[derive(Debug, Clone)]
pub(crate) struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    text: Option<String>,
    children: Vec<Element>,
}

impl Element {
    /// An empty element.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), attributes: Vec::new(), text: None, children: Vec::new() }
    }

    /// With one more attribute.
    #[expect(clippy::needless_pass_by_value, reason = "numbers and literals are given as they are")]
    pub(crate) fn attr(mut self, name: &str, value: impl ToString) -> Self {
        self.attributes.push((name.to_owned(), value.to_string()));
        self
    }

    /// With text instead of children.
    #[expect(clippy::needless_pass_by_value, reason = "numbers and literals are given as they are")]
    pub(crate) fn text(mut self, text: impl ToString) -> Self {
        self.text = Some(text.to_string());
        self
    }

    /// With one more child.
    pub(crate) fn child(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// With more children.
    pub(crate) fn children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }

    /// The value of an attribute.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Its XML, without white space before or after. `indent` is that of its line; none writes it on one.
    pub(crate) fn to_xml(&self, indent: Option<&str>) -> String {
        let mut out = String::new();
        self.write(&mut out, indent);
        out
    }

    fn write(&self, out: &mut String, indent: Option<&str>) {
        out.push('<');
        out.push_str(&self.name);
        for (name, value) in &self.attributes {
            out.push(' ');
            out.push_str(name);
            out.push_str("='");
            out.push_str(&escape(value));
            out.push('\'');
        }
        if let Some(text) = &self.text {
            out.push('>');
            out.push_str(&escape_text(text));
        } else if self.children.is_empty() {
            out.push_str("/>");
            return;
        } else {
            out.push('>');
            let inner = indent.map(|indent| format!("{indent}  "));
            for child in &self.children {
                if let Some(inner) = &inner {
                    out.push('\n');
                    out.push_str(inner);
                }
                child.write(out, inner.as_deref());
            }
            if let Some(indent) = indent {
                out.push('\n');
                out.push_str(indent);
            }
        }
        out.push_str("</");
        out.push_str(&self.name);
        out.push('>');
    }
}

/// Whether XML can say every character of the text.
pub(crate) fn is_writable(text: &str) -> bool {
    text.chars().all(|c| match c {
        '\t' | '\n' | '\r' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        c => c >= ' ',
    })
}

/// The text within quotes of either kind. White space other than a blank would come back as one.
pub(crate) fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&apos;"),
            '"' => out.push_str("&quot;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            c => out.push(c),
        }
    }
    out
}

/// The text between tags.
pub(crate) fn escape_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\r', "&#13;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::read;
    use proptest::prelude::*;

    #[test]
    fn an_element_is_written_as_libvirt_writes() {
        let disk = Element::new("disk")
            .attr("type", "file")
            .child(Element::new("source").attr("file", "/a b/it's <1> & \"2\""))
            .child(Element::new("serial").text("<&>"));
        insta::assert_snapshot!(disk.to_xml(Some("    ")), @r#"
        <disk type='file'>
              <source file='/a b/it&apos;s &lt;1&gt; &amp; &quot;2&quot;'/>
              <serial>&lt;&amp;&gt;</serial>
            </disk>
        "#);
        assert_eq!(Element::new("a").child(Element::new("b")).to_xml(None), "<a><b/></a>");
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_back(value in any::<String>()) {
            prop_assume!(is_writable(&value));
            let xml = Element::new("a").attr("b", &value).child(Element::new("c").text(&value)).to_xml(None);
            let document = read(&xml).unwrap();
            let root = document.root_element();
            prop_assert_eq!(root.attribute("b"), Some(value.as_str()));
            let text = root.first_element_child().and_then(|c| c.text()).unwrap_or_default();
            prop_assert_eq!(text, value.as_str());
        }

        #[test]
        fn what_xml_cannot_say_is_told_apart(value in any::<String>()) {
            let xml = Element::new("a").text(&value).to_xml(None);
            prop_assert_eq!(read(&xml).is_ok(), is_writable(&value));
        }
    }
}
