//! Turns what nginx-sys found out about nginx into cfg values, has nginx's bit-fields and the proof
//! of its structures written, and hashes what the status page holds.

#[cfg(feature = "export-modules")]
mod layout;
#[cfg(feature = "export-modules")]
mod nginx;

use std::{env, fs};

use base64::prelude::{Engine, BASE64_STANDARD};
use sha2::{Digest, Sha256};

/// The status page. A `Content-Security-Policy` names its script and style by their hashes.
const PAGE: &str = "src/metrics/status.html";

/// First nginx version number with the feature behind each cfg.
const VERSIONS: &[(u64, &str)] = &[
    // `server name resolve;` and `resolver` inside upstream{}
    (1_027_003, "nginx1_27_3"),
];

fn main() {
    println!("cargo::rerun-if-changed=build-script");
    println!("cargo::rerun-if-env-changed=DEP_NGINX_VERSION_NUMBER");
    println!("cargo::rerun-if-env-changed=DEP_NGINX_FEATURES");

    let features = env::var("DEP_NGINX_FEATURES_CHECK").unwrap_or_else(|_| "any()".into());
    println!("cargo::rustc-check-cfg=cfg(ngx_feature, values({features}))");
    for feature in env::var("DEP_NGINX_FEATURES").iter().flat_map(|f| f.split(',')) {
        println!("cargo::rustc-cfg=ngx_feature=\"{feature}\"");
    }

    let version = env::var("DEP_NGINX_VERSION_NUMBER").ok().and_then(|v| v.parse::<u64>().ok());
    for (since, cfg) in VERSIONS {
        println!("cargo::rustc-check-cfg=cfg({cfg})");
        if version.is_some_and(|version| version >= *since) {
            println!("cargo::rustc-cfg={cfg}");
        }
    }

    #[cfg(feature = "export-modules")]
    nginx::generate();

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
