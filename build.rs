//! Computes the hashes of the status page's script and style.

use std::fs;

use base64::prelude::{Engine, BASE64_STANDARD};
use sha2::{Digest, Sha256};

/// The status page. Its `Content-Security-Policy` names its script and style by their hashes.
const PAGE: &str = "src/metrics/status.html";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={PAGE}");
    let page = fs::read_to_string(PAGE).expect("the status page is there");
    for element in ["style", "script"] {
        let name = element.to_uppercase();
        println!("cargo::rustc-env=STATUS_{name}_HASH=sha256-{}", hash_of(&page, element));
    }
}

/// The hash of the content of the only element with this name.
fn hash_of(page: &str, element: &str) -> String {
    let (begin, end) = (format!("<{element}>"), format!("</{element}>"));
    let content = page.split_once(&begin).and_then(|(_, rest)| Some(rest.split_once(&end)?.0));
    let content = content.unwrap_or_else(|| panic!("{PAGE} has no {begin}"));
    BASE64_STANDARD.encode(Sha256::digest(content))
}
