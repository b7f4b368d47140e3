//! Every function that nginx calls is guarded against unwinding.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// The functions of a source file that C can call, each with the beginning of its body.
fn callbacks(source: &str) -> Vec<(&str, &str)> {
    let starts = source.match_indices("extern \"C\" fn ").map(|(at, what)| at + what.len());
    starts
        .filter_map(|at| {
            let rest = &source[at..];
            let name = &rest[..rest.find(['(', '<'])?];
            // a declaration ends before any body begins
            let body =
                rest.find('{').filter(|body| rest.find(';').is_none_or(|end| *body < end))?;
            let mut body = rest[body + 1..].trim_start();
            while body.starts_with("//") {
                body = body.split_once('\n')?.1.trim_start();
            }
            Some((name, body))
        })
        .collect()
}

#[test]
fn all_are_guarded() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for path in ["crates/nginx/src", "src"].iter().flat_map(|folder| sources(&root.join(folder))) {
        let source = fs::read_to_string(&path).unwrap();
        for (name, body) in callbacks(&source) {
            count += 1;
            assert!(body.starts_with("guarded("), "{name} in {} has no guard", path.display());
        }
    }
    assert!(count > 30, "only {count} callbacks were found");
}

#[test]
fn they_are_found() {
    let source = "unsafe extern \"C\" fn one(r: *mut T) -> i32 {\n    // SAFETY: {}\n    guarded(1, || 2)\n}\n\
                  type F = unsafe extern \"C\" fn(i32);\n\
                  extern \"C\" { fn no(); }\nextern \"C\" fn two<T>() where T: A {}\n";
    assert_eq!(
        callbacks(source).iter().map(|(name, body)| (*name, &body[..1])).collect::<Vec<_>>(),
        [("one", "g"), ("two", "}")]
    );
}
