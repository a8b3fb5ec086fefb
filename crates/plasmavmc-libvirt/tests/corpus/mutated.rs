//! Domains that were damaged at random: the claims of the fuzz target hold for them too.
//!
//! A short, repeatable walk that needs neither libFuzzer nor luck; `scripts/fuzz domain` goes on from here.

#[path = "../../../../fuzz/src/domain.rs"]
#[expect(unreachable_pub, reason = "the fuzz target is another crate")]
mod claims;

use crate::{corpus, domains, each};

/// What is put into a domain where it does not belong.
const TOKENS: [&str; 16] = [
    "<",
    ">",
    "&",
    "'",
    "\"",
    "/>",
    "<![CDATA[x]]>",
    "<!-- c -->",
    "&#0;",
    "&lt;",
    "10000000000000000000",
    "<memory>1</memory>",
    "<devices/>",
    " type='file'",
    " xmlns='u'",
    "é",
];

/// Numbers that look random and are the same every time (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit.max(1) as u64).unwrap()
    }

    fn place(&mut self, text: &str) -> usize {
        let at = self.below(text.len() + 1);
        (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap()
    }
}

fn damaged(text: &str, numbers: &mut Numbers) -> String {
    let mut text = text.to_owned();
    for _ in 0..=numbers.below(3) {
        let (a, b) = (numbers.place(&text), numbers.place(&text));
        let (start, end) = (a.min(b), a.max(b).min(a.min(b) + 40));
        let end = (end..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap();
        match numbers.below(5) {
            0 => text.replace_range(start..end, ""),
            1 => text.insert_str(start, TOKENS[numbers.below(TOKENS.len())]),
            2 => text.replace_range(start..end, TOKENS[numbers.below(TOKENS.len())]),
            3 => {
                let twice = text[start..end].to_owned();
                text.insert_str(start, &twice);
            }
            _ => {
                // Whole elements: the one kind of damage that stays well-formed.
                let Some(from) = text[start..].find("\n    <").map(|at| start + at) else { continue };
                let Some(to) = text[from + 1..].find('\n').map(|at| from + 1 + at) else { continue };
                let line = text[from..to].to_owned();
                if numbers.below(2) == 0 {
                    text.replace_range(from..to, "");
                } else {
                    text.insert_str(to, &line);
                }
            }
        }
    }
    text
}

#[test]
fn a_damaged_domain_breaks_no_claim() {
    let Some(tests) = corpus() else { return };
    let mut numbers = Numbers(0x1234_5678_9abc_def1);
    let domains = domains(&tests);
    let mut texts = Vec::new();
    for (_, xml) in domains.iter().step_by(3) {
        texts.extend((0..3).map(|_| damaged(xml.as_str(), &mut numbers)));
    }
    let checked = each(&texts, |text| {
        claims::check(text.as_bytes());
        Some(())
    });
    assert!(checked.len() > 2000, "{}", checked.len());
}
