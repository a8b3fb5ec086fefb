//! Words of a command line that stand for values. Tests: below.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use plasmavmc_term::ColorMode;

/// A word of a list, and the value it stands for. Help and completions show the list.
pub fn one_of<W, T>(list: impl IntoIterator<Item = (W, T)>) -> impl TypedValueParser<Value = T>
where
    W: Into<PossibleValue>,
    T: Clone + Send + Sync + 'static,
{
    let list: Vec<(PossibleValue, T)> = list.into_iter().map(|(word, value)| (word.into(), value)).collect();
    PossibleValuesParser::new(list.iter().map(|(word, _)| word.clone()).collect::<Vec<_>>()).map(
        move |given| {
            let found = list.iter().find(|(word, _)| word.get_name() == given);
            found.expect("the parser lets no other word through").1.clone()
        },
    )
}

/// When to colour what is printed: the value of `--color`.
pub fn color() -> impl TypedValueParser<Value = ColorMode> {
    one_of(ColorMode::ALL.map(|mode| (mode.as_str(), mode)))
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command};

    use super::*;

    #[test]
    fn a_word_is_its_value_and_a_word_beside_the_list_is_refused() {
        let of = |word: &str| {
            let command = Command::new("x").arg(Arg::new("n").value_parser(one_of([("one", 1), ("two", 2)])));
            command.try_get_matches_from(["x", word]).map(|found| found.get_one::<i32>("n").copied())
        };
        assert_eq!(of("two").unwrap(), Some(2));
        assert!(of("three").unwrap_err().to_string().contains("[possible values: one, two]"));
    }
}
