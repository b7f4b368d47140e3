use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::metrics::{exposition, Text};
use crate::metrics::{
    Closed, Counts, Destination, Health, SettingsInEffect, Snapshot, Sum, Totals, WebSockets,
    WorkerStatus,
};
use crate::tunnel_log::{line, Format, Head};
use websocket_tunnel::{End, Proof, Reason, Summary, Traffic};

/// A file or folder of the repository.
fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The source of every test that runs nginx.
fn tests_of_nginx() -> String {
    let files = ["t", "image/t"].into_iter().flat_map(|folder| fs::read_dir(at(folder)).unwrap());
    let tests = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "t"));
    tests.map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// Whether `text` contains `name` as a separate word.
fn has_word(text: &str, name: &str) -> bool {
    let of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(name).any(|(at, _)| {
        !text[..at].ends_with(of_word) && !text[at + name.len()..].starts_with(of_word)
    })
}

/// The words of a configuration, without comments. A quoted string that begins with a reference is
/// one word.
fn words_of_conf(conf: &str) -> impl Iterator<Item = &str> {
    let lines = conf.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.flat_map(|line| {
        let mut rest = line.trim();
        std::iter::from_fn(move || {
            let end = match rest.strip_prefix("\"${") {
                Some(reference) => reference.find('"').map(|at| at + 4),
                None => rest.find(char::is_whitespace),
            };
            let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
            rest = behind.trim_start();
            (!word.is_empty()).then_some(word)
        })
    })
}

/// `(variable, default, directive)` for each reference in `nginx/nginx.conf`.
fn defaults_in_conf() -> BTreeSet<(String, String, String)> {
    let conf = read("nginx/nginx.conf");
    let words: Vec<_> = words_of_conf(&conf).collect();
    let mut found = BTreeSet::new();
    for statement in words.split_inclusive(|word| word.ends_with(';') || ["{", "}"].contains(word))
    {
        let statement = statement.strip_prefix(&["elb_env"]).unwrap_or(statement);
        let mut add = |name: &str, default: &str| {
            found.insert((name.to_owned(), default.to_owned(), statement[0].to_owned()))
        };
        for word in statement {
            for reference in word.split("${").skip(1) {
                let (name, default) = reference.split_once(":-").expect(word);
                add(name, default.split_once('}').expect(word).0);
            }
        }
        if let ["elb_listen", name, options @ ..] = statement {
            options.iter().filter_map(|word| word.strip_prefix("default=")).for_each(|default| {
                add(name, default);
            });
        }
    }
    found
}

#[test]
fn each_variable_is_declared_once() {
    let names: BTreeSet<_> = VARIABLES.iter().map(|declaration| declaration.name).collect();
    assert_eq!(names.len(), VARIABLES.len());
    for declaration in VARIABLES {
        assert_eq!(variable(declaration.name).map(|found| found.about), Some(declaration.about));
    }
    assert!(variable("OTHER").is_none());
}

#[test]
fn variables_need_variables_that_there_are() {
    for declaration in VARIABLES {
        for name in declaration.needs.iter().flat_map(Need::variables) {
            assert!(variable(name).is_some(), "{} needs {name}", declaration.name);
            assert_ne!(declaration.name, name);
        }
    }
}

#[test]
fn samples_and_defaults_are_what_they_are_declared_to_be() {
    for declaration in VARIABLES {
        let name = declaration.name;
        assert!(!declaration.good.is_empty() && !declaration.bad.is_empty(), "{name}");
        let default = declaration.default.value().filter(|value| !value.is_empty());
        for good in declaration.good.iter().copied().chain(default) {
            assert_eq!(declaration.check(good), Ok(()), "{name}={good}");
        }
        if !declaration.is_checked() {
            // nginx refuses the invalid ones: t/shipped_samples.t
            continue;
        }
        for bad in declaration.bad {
            let must = declaration.check(bad).expect_err(&format!("{name}={bad}"));
            // DESTINATIONS has a rule in addition to the type
            let other = must == "name at least one destination that is not a backup";
            let expected = must.starts_with(&format!("be {}", declaration.takes.expected()));
            assert!(expected || other, "{name}={bad}: {must}");
        }
        assert!(declaration.check("}; evil {").is_err(), "{name} takes anything");
    }
}

#[test]
fn nginx_conf_has_the_declared_defaults() {
    let declared = VARIABLES.iter().filter(|declaration| match declaration.default {
        Default::Conf(_) => true,
        // the values that a reference repeats
        Default::Own(_) => declaration.read_by.contains(&"elb_proxy_set_header"),
        _ => false,
    });
    let declared: BTreeSet<_> = declared
        .flat_map(|declaration| {
            // elb_redirect reads HTTPS_PORT without a reference
            let read_by = declaration.read_by.iter().filter(|name| **name != "elb_redirect");
            read_by.map(|directive| {
                let default = declaration.default.value().unwrap_or_default();
                (declaration.name.to_owned(), default.to_owned(), (*directive).to_owned())
            })
        })
        .collect();
    let found = defaults_in_conf();
    let odd: Vec<_> = declared.symmetric_difference(&found).collect();
    assert!(odd.is_empty(), "only in the declarations or only in nginx.conf: {odd:?}");
}

#[test]
fn the_entry_point_has_the_declared_defaults() {
    for script in ["nginx/entrypoint", "nginx/healthcheck"] {
        for call in read(script).split("$(setting ").skip(1) {
            let mut words = call.split([' ', ')']);
            let (name, default) = (words.next().unwrap(), words.next());
            let declared = variable(name).unwrap_or_else(|| panic!("{script}: {name}"));
            assert_eq!(
                declared.default.value().unwrap_or("''"),
                default.unwrap(),
                "{script}: {name}"
            );
        }
    }
    assert!(read("nginx/entrypoint").contains("$(setting DRAIN_DELAY "));
}

#[test]
fn each_variable_is_in_a_test_of_nginx() {
    let tests = tests_of_nginx();
    let without: Vec<_> = VARIABLES
        .iter()
        .map(|declaration| declaration.name)
        .filter(|name| !has_word(&tests, name))
        .collect();
    assert!(without.is_empty(), "no test in t or image/t has {without:?}");
}

#[test]
fn each_checked_variable_is_in_the_test_of_their_messages() {
    let test = read("t/elb_env_typed.t");
    for declaration in VARIABLES.iter().filter(|declaration| declaration.is_checked()) {
        let expected = declaration.takes.expected();
        let row = format!("[{} =>", declaration.name);
        let rest = test.split_once(&row).unwrap_or_else(|| panic!("{row} is missing")).1;
        let words = rest.trim_start().strip_prefix('\'').unwrap_or_default();
        assert!(words.starts_with(expected), "{row} is not \"{expected}\"");
    }
}

/// A snapshot with an entry in each of its lists.
fn snapshot() -> Snapshot {
    let destination = Destination {
        upstream: "app".to_owned(),
        server: "app:80".to_owned(),
        address: "127.0.0.1:80".to_owned(),
        up: true,
        checked: false,
        backup: false,
        weight: 1,
        connections: 2,
    };
    let worker =
        WorkerStatus { pid: 8, generation: 5, draining: false, active: 1, buffered_bytes: 0 };
    let mut websockets = WebSockets::of(&Sum::default());
    websockets.closed = vec![Closed { reason: "client", code: "1000", count: 1 }];
    Snapshot {
        module: "1",
        nginx: "2".to_owned(),
        started: 3,
        uptime: 4,
        health: Health::Ok,
        generation: 5,
        workers: vec![worker],
        websockets,
        totals: Totals::of(&Counts::new(), StatusPart::Instance),
        destinations: vec![destination],
        settings: SettingsInEffect::default(),
    }
}

#[test]
fn each_metric_family_is_declared_once_and_has_a_value_for_each_label() {
    let names: BTreeSet<_> = METRICS.iter().map(|family| family.name).collect();
    assert_eq!(names.len(), METRICS.len());
    let snapshot = snapshot();
    for family in METRICS {
        let (Values::Gauge(samples) | Values::Counter(samples)) = family.values else { continue };
        let mut seen = BTreeSet::new();
        samples(&snapshot, &mut |values, _| {
            assert_eq!(values.len(), family.labels.len(), "{}", family.name);
            let values: Vec<_> = values.iter().map(|value| (*value).to_owned()).collect();
            assert!(seen.insert(values.clone()), "{} {values:?} twice", family.name);
        });
        assert!(!seen.is_empty(), "{} has no sample", family.name);
    }
}

#[test]
fn each_total_is_in_the_metrics_and_in_the_status() {
    let sum = Sum::default();
    for (index, total) in Total::ALL.into_iter().enumerate() {
        assert_eq!(total as usize, index, "{total:?}");
        (0..=index).for_each(|_| sum.counts.count(total));
    }
    let websockets = WebSockets::of(&sum);
    let totals = Totals::of(&sum.counts, StatusPart::Instance);
    let snapshot = Snapshot { totals, websockets, ..snapshot() };
    let (text, status) =
        (exposition(&snapshot, Text::Prometheus), serde_json::to_value(&snapshot).unwrap());
    for (part, object) in
        [(StatusPart::Instance, &status), (StatusPart::WebSockets, &status["websockets"])]
    {
        for (name, family, total) in part.totals() {
            let number = total as u64 + 1;
            assert_eq!(object[name], number, "{name}");
            let sample = format!("\n{} {number}\n", family.full_name());
            assert!(text.contains(&sample), "{sample}");
        }
    }
    let parts = [StatusPart::Instance, StatusPart::WebSockets];
    let all: Vec<_> = parts.into_iter().flat_map(StatusPart::totals).collect();
    assert_eq!(all.len(), Total::ALL.len(), "families: {all:?}");
}

#[test]
fn each_metric_family_and_close_reason_is_in_a_test_of_nginx() {
    let tests = tests_of_nginx();
    for family in METRICS {
        let name = family.full_name();
        let found = match family.values {
            Values::Histogram(_) => ["_bucket", "_sum", "_count"]
                .iter()
                .any(|suffix| has_word(&tests, &format!("{name}{suffix}"))),
            _ => has_word(&tests, &name),
        };
        assert!(found, "no test in t or image/t has {name}");
    }
    // a fault is caused by memory or the system, which no test can cause: src/metrics/slot.rs
    for reason in CLOSE_REASONS.iter().filter(|reason| reason.word != "fault") {
        // in quotes, alone or followed by the code, because some reasons are ordinary words
        let quoted = ['"', '\''].iter().any(|quote| {
            [format!("{quote}{}{quote}", reason.word), format!("{quote}{} ", reason.word)]
                .iter()
                .any(|text| tests.contains(text))
        });
        assert!(quoted, "no test in t or image/t has {}", reason.word);
    }
}

/// Whether a JSON object has exactly the declared members.
fn assert_members(object: &serde_json::Value, members: &[Member], path: &str) {
    let found: BTreeSet<_> = object.as_object().expect(path).keys().map(String::as_str).collect();
    assert_eq!(found, members.iter().map(|member| member.name).collect(), "{path}");
    for member in members {
        let (path, value) = (format!("{path}/{}", member.name), &object[member.name]);
        assert!(member.about.text().is_none_or(|text| text.ends_with('.')), "{path}");
        match member.shape {
            Shape::Text => assert!(value.is_string(), "{path}"),
            Shape::Word(words) => assert!(words().contains(&value.as_str().unwrap()), "{path}"),
            Shape::Flag => assert!(value.is_boolean(), "{path}"),
            Shape::Whole(least) => assert!(value.as_u64().unwrap() >= least, "{path}"),
            Shape::Number => assert!(value.as_f64().unwrap() >= 0.0, "{path}"),
            Shape::List(members) | Shape::ListOf(&Definition { members, .. }) => {
                let items = value.as_array().expect(&path);
                assert!(!items.is_empty(), "{path} is empty");
                items.iter().for_each(|item| assert_members(item, members, &path));
            }
            Shape::Object(members) => assert_members(value, &members(), &path),
            Shape::Defined(definition) => assert_members(value, definition.members, &path),
            Shape::Settings => assert!(value.is_object(), "{path}"),
        }
    }
}

#[test]
fn the_status_has_the_declared_members() {
    let status = serde_json::to_value(snapshot()).unwrap();
    assert_members(&status, &status_members(), "");
}

#[test]
fn a_line_of_the_log_has_the_declared_fields() {
    let summary = Summary {
        reason: Some(Reason::Dead(End::Client)),
        proof: Some(Proof::Pong),
        code: Some(1001),
        client: Traffic::default(),
        destination: Traffic::default(),
        passthrough: true,
    };
    let head = Head::new("192.0.2.1", "/", "192.0.2.2:80", "7");
    let known = line(Format::Json, "now", &head, 5, &summary);
    let bare = Summary { reason: None, proof: None, code: None, ..summary };
    let bare = line(Format::Json, "now", &Head::new("", "", "", ""), 0, &bare);
    let type_of = |value: &serde_json::Value| match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "boolean",
        serde_json::Value::Number(_) => "number",
        _ => "string",
    };
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect(text);
    let (whole, without) = (parse(&known), parse(&bare));
    assert_eq!(whole.as_object().unwrap().len(), LOG_FIELDS.len());
    let mut end = 0;
    for field in LOG_FIELDS {
        let at = known.find(&format!("\"{}\":", field.name)).expect(field.name);
        assert!(at > end || end == 0, "{} stands elsewhere", field.name);
        end = at;
        let mut types: Vec<_> = [&whole, &without].map(|line| type_of(&line[field.name])).into();
        types.dedup();
        assert_eq!(types.join(", "), field.json_type, "{}", field.name);
    }
}

/// The source of the nginx-facing code.
fn sources(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| match path.is_dir() {
            true => sources(&path),
            false => fs::read_to_string(path).unwrap(),
        })
        .collect()
}

/// Whether the text after `before` is the name of a command created there: `main(`,
/// `Command::main::<M>(` or similar.
fn makes_command(before: &str) -> bool {
    let Some(function) = before.trim_end().strip_suffix('(') else { return false };
    let function = match function.rsplit_once("::<") {
        Some((function, generic)) if generic.ends_with('>') => function,
        _ => function,
    };
    let constructors = ["main", "server", "location", "plain", "setting"];
    let name = function.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next();
    name.is_some_and(|name| constructors.contains(&name))
}

#[test]
fn each_directive_is_declared_once_and_has_a_command_and_a_test() {
    let names: BTreeSet<_> = DIRECTIVES.iter().map(|declared| declared.name).collect();
    assert_eq!(names.len(), DIRECTIVES.len());
    let (module, tests) = (sources(&at("src/module")), tests_of_nginx());
    let conf = read("nginx/nginx.conf");
    for Directive { name, syntax, good, bad, .. } in DIRECTIVES {
        assert_eq!(directive(name).name, *name);
        let quoted = format!("c\"{name}\"");
        let commands =
            module.match_indices(&quoted).filter(|(at, _)| makes_command(&module[..*at]));
        assert_eq!(commands.count(), 1, "commands named {name}");
        assert!(syntax.iter().all(|syntax| syntax.starts_with(name)), "{name}");
        assert!(!good.is_empty() && !bad.is_empty(), "{name} has no samples");
        assert!(has_word(&tests, name), "no test in t or image/t has {name}");
    }
    for word in words_of_conf(&conf).map(|word| word.trim_end_matches(';')) {
        let own = ["elb_", "websocket_"].iter().any(|prefix| word.starts_with(prefix));
        assert!(!own || names.contains(word), "nginx.conf has {word}");
    }
}

#[test]
fn variables_name_directives_that_there_are() {
    let names: BTreeSet<_> = DIRECTIVES.iter().map(|declared| declared.name).collect();
    for declaration in VARIABLES {
        for name in declaration.read_by {
            let own = name.starts_with("elb_") || name.starts_with("websocket_");
            assert!(!own || names.contains(name), "{} is read by {name}", declaration.name);
        }
    }
}
