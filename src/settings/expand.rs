//! `${NAME}`, `${NAME:-default}` and `${NAME:+word}` in the arguments of a directive.
//!
//! Only names of capitals, digits and `_` are environment variables: `$host` and `${host}` remain
//! nginx's own. `default` and `word` may contain further references.

use super::{check, Environment, Fault};

/// One argument with its references replaced.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The argument.
    pub text: String,
    /// Whether it contained a reference.
    pub refers: bool,
    /// The variables whose values are part of the argument.
    pub variables: Vec<String>,
    /// The variables that it refers to, set or not, with their replacements: the value or a
    /// default, and `None` for `${NAME:+word}`.
    pub asked: Vec<(String, Option<String>)>,
}

/// Why an argument cannot be expanded.
#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    /// The reference is malformed: an error in the configuration file.
    Syntax(String),
    /// The environment has an error.
    Environment(Fault),
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Environment(fault)
    }
}

/// Replaces all references in `argument`.
///
/// # Errors
/// A malformed reference, a variable that is not set and has no default, or a value that nginx
/// would not take literally: nginx cannot escape a `$`.
pub fn expand(env: &Environment, argument: &str) -> Result<Expanded, Error> {
    let mut out = Expanded::default();
    expand_into(env, argument, &mut out)?;
    Ok(out)
}

fn expand_into(env: &Environment, mut rest: &str, out: &mut Expanded) -> Result<(), Error> {
    while let Some(start) = rest.find("${") {
        out.text.push_str(&rest[..start]);
        let name = name_at(&rest[start + 2..]);
        if name.is_empty() {
            out.text.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        let end = closing_brace(&rest[start..]).ok_or_else(|| syntax(&rest[start..]))?;
        let reference = &rest[start..=start + end];
        rest = &rest[start + end + 1..];
        replace(env, name, reference, out)?;
    }
    out.text.push_str(rest);
    Ok(())
}

/// The environment variable at the start of `text`; empty if it is a variable of nginx.
fn name_at(text: &str) -> &str {
    let of_name = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    let len = text.bytes().take_while(|b| of_name(*b)).count();
    let nginx = text.as_bytes().get(len).is_some_and(u8::is_ascii_lowercase);
    let digit = text.as_bytes().first().is_some_and(u8::is_ascii_digit);
    if nginx || digit {
        return "";
    }
    &text[..len]
}

/// The index of the brace that closes the reference at the start of `text`.
fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let bytes = text.as_bytes();
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'{' if index > 0 && bytes[index - 1] == b'$' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(index);
                }
            }
            _ => {}
        }
    }
    None
}

fn replace(
    env: &Environment,
    name: &str,
    reference: &str,
    out: &mut Expanded,
) -> Result<(), Error> {
    let operator = &reference[2 + name.len()..reference.len() - 1];
    out.refers = true;
    let (place, start) = (out.asked.len(), out.text.len());
    out.asked.push((name.to_owned(), None));
    let variable = env.variable(name)?;
    if let Some(variable) = &variable {
        out.variables.push(name.to_owned());
        check(variable)?;
        if let Some(what) = unfit(variable.text()) {
            return Err(Fault::new(format!("environment variable \"{name}\" {what}")).into());
        }
    }
    match (variable, operator) {
        (Some(variable), "") => out.text.push_str(variable.text()),
        (None, "") => {
            let what = "is not set and has no default";
            return Err(Fault::new(format!("environment variable \"{name}\" {what}")).into());
        }
        (variable, operator) => match (variable, operator.split_at_checked(2)) {
            (Some(variable), Some((":-", _))) => out.text.push_str(variable.text()),
            (None, Some((":-", default))) => expand_into(env, default, out)?,
            (Some(_), Some((":+", word))) => expand_into(env, word, out)?,
            (None, Some((":+", _))) => {}
            _ => return Err(syntax(reference)),
        },
    }
    if !operator.starts_with(":+") {
        out.asked[place].1 = Some(out.text[start..].to_owned());
    }
    Ok(())
}

/// Why a value cannot be part of an argument.
fn unfit(text: &str) -> Option<&'static str> {
    if text.contains('$') {
        return Some("contains \"$\", which nginx would take for the start of a variable");
    }
    let control = text.chars().any(char::is_control);
    control.then_some("contains a control character, it must be one line of text")
}

fn syntax(reference: &str) -> Error {
    Error::Syntax(format!(
        "invalid reference \"{reference}\", it must be \"${{NAME}}\", \
         \"${{NAME:-default}}\" or \"${{NAME:+word}}\""
    ))
}

#[cfg(test)]
mod tests {
    use super::super::tests::Table;
    use super::*;

    fn expanded(argument: &str) -> Result<String, String> {
        let table = Table(&[
            ("A", "1"),
            ("EMPTY", ""),
            ("ODD", "a \"b\" ; { } \\"),
            ("DOLLAR", "a$b"),
            ("LINES", "a\nb"),
            ("HTTPS_PORT", "https"),
        ]);
        match expand(&Environment::new(&table), argument) {
            Ok(expanded) => Ok(expanded.text),
            Err(Error::Syntax(what)) => Err(what),
            Err(Error::Environment(fault)) => Err(fault.to_string()),
        }
    }

    #[test]
    fn references() {
        let cases = [
            ("plain", "plain"),
            ("${A}", "1"),
            ("a${A}b${A}c", "a1b1c"),
            ("${A:-2}", "1"),
            ("${NONE:-2}", "2"),
            ("${EMPTY:-2}", "2"),
            ("${NONE:-}", ""),
            ("${NONE:-${A}x}y", "1xy"),
            ("${NONE:-${EMPTY:-${A}}}", "1"),
            ("${A:+x}", "x"),
            ("${A:+x${A}}", "x1"),
            ("${NONE:+x}", ""),
            ("${A:+${NONE:-$host}}", "$host"),
            ("${ODD}", "a \"b\" ; { } \\"),
            ("$A", "$A"),
            ("$host${host}${Host}", "$host${host}${Host}"),
            ("${1}", "${1}"),
            ("{A}$", "{A}$"),
            ("ä${A}ö", "ä1ö"),
        ];
        for (argument, expected) in cases {
            assert_eq!(expanded(argument).as_deref(), Ok(expected), "{argument:?}");
        }
    }

    #[test]
    fn faults() {
        let cases = [
            ("${NONE}", "environment variable \"NONE\" is not set and has no default"),
            ("${EMPTY}", "environment variable \"EMPTY\" is not set and has no default"),
            ("${A:+${NONE}}", "environment variable \"NONE\" is not set and has no default"),
            (
                "${DOLLAR}",
                "environment variable \"DOLLAR\" contains \"$\", \
                 which nginx would take for the start of a variable",
            ),
            (
                "${LINES}",
                "environment variable \"LINES\" contains a control character, \
                 it must be one line of text",
            ),
            (
                "${HTTPS_PORT:-443}",
                "environment variable \"HTTPS_PORT\" has invalid value \"https\", \
                 it must be a port from 1 to 65535",
            ),
        ];
        for (argument, expected) in cases {
            assert_eq!(expanded(argument), Err(expected.to_owned()), "{argument:?}");
        }
        for argument in ["${A", "${A:?x}", "${A-x}", "${A:}", "${A:-${A}", "${A:ä}"] {
            let error = expanded(argument).expect_err(argument);
            assert!(error.starts_with("invalid reference \"${A"), "{argument:?}: {error}");
        }
    }

    #[test]
    fn variables_are_told_where_they_are_set() {
        let table = Table(&[("B", "x"), ("C", "y")]);
        let env = Environment::new(&table);
        let expanded = expand(&env, "${A:-${B:-x}}${C:+${B}}").unwrap();
        assert_eq!(expanded.variables, ["B", "C", "B"]);
        let asked = expanded.asked.iter().map(|(name, used)| (&**name, used.as_deref()));
        let expected = [("A", Some("x")), ("B", Some("x")), ("C", None), ("B", Some("x"))];
        assert_eq!(asked.collect::<Vec<_>>(), expected);
        assert!(expanded.refers);
        assert!(expand(&env, "${A:-}").unwrap().refers);
        assert!(!expand(&env, "${host}").unwrap().refers);
    }
}
