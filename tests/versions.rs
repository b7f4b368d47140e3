//! `nginx/versions` declares the supported versions of nginx. Every other file that names a version
//! must agree with it.

use std::fs;

fn read(path: &str) -> String {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A value of `nginx/versions`.
fn version(name: &str) -> String {
    let versions = read("nginx/versions");
    let value = versions.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {name} in nginx/versions")).trim_matches('"').to_owned()
}

/// Between `before` and `after`, every occurrence in a file must have `value`.
fn says(file: &str, before: &str, after: &str, value: &str) {
    let text = read(file);
    let found: Vec<_> =
        text.split(before).skip(1).filter_map(|rest| rest.split(after).next()).collect();
    assert!(!found.is_empty(), "{file} has no {before:?}");
    for found in found {
        assert_eq!(found, value, "{file}, behind {before:?}");
    }
}

/// The versions in the first column of a document's table of supported versions.
fn supported(file: &str) -> Vec<String> {
    let text = read(file);
    let table = text.split("\n| nginx | ").nth(1);
    let table = table.unwrap_or_else(|| panic!("{file} has no table of versions"));
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.filter_map(|row| Some(row.split('|').nth(1)?.trim().to_owned())).collect()
}

#[test]
fn the_image() {
    let image = version("NGINX_IMAGE");
    says("Dockerfile", "ARG NGINX_VERSION=", "\n", &image);
    says("docs/image.md", "The official `nginx` image of nginx ", ",", &image);
    let row = format!("\n| {image} | the image |\n");
    assert!(read("README.md").contains(&row), "README.md has no row {row:?}");
    says("docs/image.md", "Debian's packages, nginx ", " among", &image);
    let sums = read("nginx/SHA256SUMS");
    let archive = format!("  nginx-{image}.tar.gz");
    let sum = sums.lines().find_map(|line| line.strip_suffix(&archive));
    let sum = sum.unwrap_or_else(|| panic!("nginx/SHA256SUMS has no{archive}"));
    assert!(sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit()), "{sum}");
    // each stage of the image builds exactly one version
    let dockerfile = read("Dockerfile");
    for from in dockerfile.lines().filter_map(|line| line.strip_prefix("FROM ")) {
        let image = from.split(' ').next().unwrap_or_default();
        let tag = image.split_once(':').map(|(_, tag)| tag);
        let is_exact =
            tag.is_some_and(|tag| tag == "${NGINX_VERSION}" || tag.matches('.').count() == 2);
        assert!(is_exact || image == "scratch", "{from}");
    }
    says("Dockerfile", "org.opencontainers.image.version=\"", "\"", env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_vendored_one() {
    let vendored = version("NGINX_VENDORED");
    // "1.28.5+1.28.3": the crate's own version, and the version of its nginx
    says("Cargo.lock", "name = \"nginx-src\"\nversion = \"1.28.5+", "\"", &vendored);
    says("README.md", "builds nginx ", " ", &vendored);
    says("docs/design.md", "in nginx that it names are those of ", ".\n", &vendored);
}

#[test]
fn the_matrix() {
    let matrix = version("NGINX_MATRIX");
    let matrix: Vec<_> = matrix.split(' ').collect();
    for file in ["README.md", "docs/building.md"] {
        assert_eq!(supported(file), matrix, "the table of {file}");
    }
    assert!(matrix.contains(&version("NGINX_IMAGE").as_str()));
    assert!(matrix.contains(&version("NGINX_VENDORED").as_str()));
    let tree = read("scripts/nginx-tree");
    for version in matrix.iter().filter(|one| **one != version("NGINX_VENDORED")) {
        assert!(tree.contains(&format!("\n        {version}) ")), "no recipe for {version}");
    }
    let listed = matrix.join(", ").replace(", 1.30.6", " and 1.30.6");
    assert!(read("CONTRIBUTING.md").contains(&format!("the suite on nginx {listed} ")), "{listed}");
}
