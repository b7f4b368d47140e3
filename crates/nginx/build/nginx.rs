//! Generates and verifies nginx's structures (`layout.rs`), for the nginx of nginx-sys.

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::layout::{implementations, proof, questions, structures, Answers};

/// The headers that declare the structures.
const HEADERS: &str = "#include <ngx_config.h>\n#include <ngx_core.h>\n\
                       #include <ngx_event.h>\n#include <ngx_http.h>\n";

/// Writes both files for the nginx that nginx-sys was built for.
pub fn generate() {
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
    let bindings = bindings();
    let structures = structures(&bindings);
    let object = compile(&out, &questions(HEADERS, &structures));
    let big_endian = env::var("CARGO_CFG_TARGET_ENDIAN").is_ok_and(|endian| endian == "big");
    let proof = proof(&structures, &Answers::find(&object, big_endian));
    fs::write(out.join("bits.rs"), bindings + &implementations(&structures)).expect("bits.rs");
    fs::write(out.join("proof.rs"), proof).expect("proof.rs");
}

/// A value that nginx-sys exports about nginx (the `links` key of its manifest).
fn about_nginx(name: &str) -> Option<String> {
    let name = format!("DEP_NGINX_{name}");
    println!("cargo::rerun-if-env-changed={name}");
    env::var(name).ok()
}

fn includes() -> Vec<PathBuf> {
    let paths = about_nginx("INCLUDE").expect("nginx-sys reports the paths of nginx's headers");
    env::split_paths(&paths).collect()
}

/// The definitions that nginx's own files are compiled with.
fn definitions() -> Vec<String> {
    // nginx-sys 0.5.0 prints "cargo:metadata=cflags=", with one colon: a key called "metadata"
    let old = || Some(about_nginx("METADATA")?.strip_prefix("cflags=")?.to_owned());
    let flags = about_nginx("CFLAGS").or_else(old).expect("nginx-sys reports nginx's definitions");
    flags.split_whitespace().map(str::to_owned).collect()
}

fn bindings() -> String {
    bindgen::Builder::default()
        .header_contents("nginx.h", HEADERS)
        .clang_args(includes().iter().map(|path| format!("-I{}", path.display())))
        .clang_args(definitions())
        .with_codegen_config(bindgen::CodegenConfig::TYPES)
        .allowlist_type("ngx_.*")
        // all other types come from `ngx::ffi`
        .allowlist_recursively(false)
        .derive_copy(false)
        .derive_debug(false)
        .default_non_copy_union_style(bindgen::NonCopyUnionStyle::ManuallyDrop)
        .layout_tests(false)
        .use_core()
        .formatter(bindgen::Formatter::None)
        .generate()
        .expect("bindgen reads nginx's headers")
        .to_string()
}

/// Compiles the C source as nginx's own files are compiled, and returns the object file.
fn compile(out: &Path, questions: &str) -> Vec<u8> {
    let source = out.join("layout.c");
    fs::write(&source, questions).expect("layout.c");
    let mut build = cc::Build::new();
    build.file(source).includes(includes()).warnings(false).debug(false).cargo_metadata(false);
    // the object must contain machine data, not the compiler's intermediate form
    build.flag_if_supported("-fno-lto");
    for definition in definitions() {
        build.flag(definition);
    }
    let objects = build.try_compile_intermediates();
    let objects = objects.unwrap_or_else(|error| panic!("what is asked about nginx: {error}"));
    fs::read(&objects[0]).expect("the object file")
}
