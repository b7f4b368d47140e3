//! The build script's check that Rust and C agree on nginx's structures
//! (`crates/nginx/build/layout.rs`), on a minimal structure: it passes if they agree, and names the
//! field if they do not. The bindings here are written as bindgen writes them.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

#[allow(missing_docs)]
#[path = "../crates/nginx/build/layout.rs"]
mod layout;

/// A bit-field after a smaller field, as in `ngx_http_request_s` since nginx 1.29.3.
const HEADER: &str = "struct ngx_sample_s {\n    void *data;\n    unsigned short port;\n    \
                      unsigned first:1;\n    unsigned second:3;\n    int type;\n};\n";

/// The definitions of the crate that both files need.
const SURROUNDINGS: &str = "
    #![allow(dead_code)]
    use core::mem::offset_of;
    const fn size_of_field<S, F>(_: fn(&S) -> *const F) -> usize { size_of::<F>() }
    mod ffi { include!(\"ffi.rs\"); }
    mod bits { macro_rules! has_bits { ($name:ident) => {} } include!(\"bits.rs\"); }
    pub struct Unit<S>(S);
    impl<S> Unit<S> {
        fn get_const<const FIRST: usize, const WIDTH: u8>(&self) -> u64 { 0 }
        fn set_const<const FIRST: usize, const WIDTH: u8>(&mut self, _: u64) {}
    }
    include!(\"proof.rs\");
";

/// The structure with these fields, and `second` at this bit of the unit with this width.
fn bindings(fields: &str, (first, width): (usize, usize)) -> String {
    let accessors = |name: &str, first: usize, width: usize| {
        format!(
            "# [inline] pub fn {name} (& self) -> u32 {{ unsafe {{ :: core :: mem :: transmute \
             (self . _bitfield_1 . get_const :: < {first}usize , {width}u8 > () as u32) }} }} \
             # [inline] pub fn set_{name} (& mut self , val : u32) {{ \
             self . _bitfield_1 . set_const :: < {first}usize , {width}u8 > (val as u64) }} "
        )
    };
    format!(
        "# [repr (C)] pub struct ngx_sample_s {{ {fields} }} impl ngx_sample_s {{ {}{} }} \
         # [repr (C)] pub struct ngx_hidden_s {{ _unused : [u8 ; 0] , }} ",
        accessors("first", 0, 1),
        accessors("second", first, width),
    )
}

const RIGHT: &str = "pub data : * mut u8 , pub port : u16 , \
                     pub _bitfield_1 : crate :: Unit < [u8 ; 1usize] > , pub type_ : i32 ,";

/// The output of the Rust compiler for the check, given the answers of this C compiler.
fn proven(name: &str, compiler: &str, ffi: &str, bits: &str) -> Result<(), String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("layout-{name}-{compiler}"));
    fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    let run = |command: &mut Command| {
        let output = command.current_dir(&folder).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            Ok(())
        } else {
            Err(said)
        }
    };

    let structures = layout::structures(bits);
    write("layout.c", &layout::questions(HEADER, &structures));
    run(Command::new(compiler).args(["-w", "-c", "layout.c", "-o", "layout.o"])).unwrap();
    let object = fs::read(folder.join("layout.o")).unwrap();
    let answers = layout::Answers::find(&object, cfg!(target_endian = "big"));
    write("ffi.rs", ffi);
    write("bits.rs", &(bits.to_owned() + &layout::implementations(&structures)));
    write("proof.rs", &layout::proof(&structures, &answers));
    write("all.rs", &format!("#![allow(non_camel_case_types)]{SURROUNDINGS}"));
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    run(Command::new(rustc).args([
        "--edition=2021",
        "--crate-type=lib",
        "--emit=metadata",
        "all.rs",
    ]))
}

#[test]
fn right_structures_are_proven() {
    let right = bindings(RIGHT, (1, 3));
    for compiler in ["gcc", "clang"] {
        proven("right", compiler, &right, &right).unwrap();
    }
}

#[test]
fn a_wrong_field_is_named() {
    let right = bindings(RIGHT, (1, 3));
    let later = RIGHT.replace("port : u16", "port : u32");
    let wider = RIGHT.replace("type_ : i32", "type_ : i64");
    // bit 80 is the first after `port`
    let cases = [
        ("shifted", right.clone(), bindings(RIGHT, (3, 3)), "second: the C compiler has bit 81, 3"),
        ("narrow", right.clone(), bindings(RIGHT, (1, 2)), "second: the C compiler has bit 81, 3"),
        ("moved", right.clone(), bindings(&later, (1, 3)), "first: the C compiler has bit 80, 1"),
        ("larger", bindings(&later, (1, 3)), right.clone(), "port: the C compiler has 2 bytes at"),
        ("theirs", bindings(&wider, (1, 3)), right.clone(), "type_: the C compiler has 4 bytes at"),
    ];
    for (name, ffi, bits, message) in cases {
        for compiler in ["gcc", "clang"] {
            let said = proven(name, compiler, &ffi, &bits).expect_err(name);
            let message = format!("ngx_sample_s.{message}");
            assert!(said.contains(&message), "{name}: no \"{message}\" in {said}");
        }
    }
}

#[test]
#[should_panic(expected = "set_second writes other bits than are read")]
fn a_setter_is_where_its_getter_is() {
    let bindings = bindings(RIGHT, (1, 3));
    let (before, after) = bindings.rsplit_once("1usize , 3u8").unwrap();
    layout::structures(&format!("{before}2usize , 3u8{after}"));
}
