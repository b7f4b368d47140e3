//! Converts what nginx-sys reports about nginx to cfg values, and generates the bit-fields of
//! nginx's structures and the proof of their layout.

mod layout;
mod nginx;

use std::env;

/// The first nginx version with the feature of each cfg.
const VERSIONS: &[(u64, &str)] = &[
    // `server name resolve;` and `resolver` in upstream{}
    (1_027_003, "nginx1_27_3"),
];

fn main() {
    println!("cargo::rerun-if-changed=build");
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
    nginx::generate();
}
