//! nginx's structures: accessors for their bit-fields, and the proof that Rust and the C compiler
//! agree on the position of every field.
//!
//! The types in use are those of `ngx::ffi`. Their bit-fields are not reliable: the bindgen of
//! nginx-sys (0.72) puts those of `ngx_http_request_s` two bits too low since nginx 1.29.3
//! (rust-lang/rust-bindgen#3384). So a newer bindgen generates the same structures again, and
//! `src/bits.rs` accesses bit-fields through those.
//!
//! There is no list of structures and fields that could be incomplete: all of nginx's structures
//! are generated and verified. The expected values come from the C compiler, in one constant of an
//! object file that is read and never run, so this works for cross-compilation too:
//!
//! - for a structure its size, for a plain field its offset and size, as numbers;
//! - for a bit-field, which `offsetof` does not support, a structure in which only that field is
//!   set.
//!
//! The result is two files in `OUT_DIR`: `bits.rs` with the structures, and `proof.rs` with a
//! `const` assertion for each field. An assertion that fails names its field.

use std::fmt::Write;

/// The marker before the answers in the object file.
const MARK: [u8; 16] = *b"\x9e\x37nginx layout\xc4\x11";

/// The size of a number there, in bytes; little-endian.
const NUMBER: usize = 4;

/// A structure as bindgen sees it.
pub struct Structure {
    name: String,
    /// The fields that are not bit-fields.
    plain: Vec<String>,
    bits: Vec<BitField>,
}

pub struct BitField {
    name: String,
    /// The field of the Rust structure that contains the bit-field.
    unit: String,
    /// Its first bit in that field, and its width.
    at: (usize, usize),
}

/// Parses all structures that have a name in C from the output of bindgen, in which the only spaces
/// are those between tokens.
pub fn structures(bindings: &str) -> Vec<Structure> {
    let mut found: Vec<Structure> = Vec::new();
    for item in bindings.split("pub struct ").skip(1) {
        let Some((name, rest)) = item.split_once(" { ") else { continue };
        if !name.starts_with("ngx_") || name.contains("__bindgen") {
            continue;
        }
        let (fields, rest) = rest.split_once('}').expect("a structure ends");
        if fields.contains("_unused") {
            // declared and not defined
            continue;
        }
        let plain = fields
            .split("pub ")
            .filter_map(|field| Some(field.split_once(':')?.0.trim().to_owned()))
            // bit-fields, and fields without a name in C
            .filter(|field| !field.starts_with('_'))
            .collect();
        let methods = rest.trim_start().strip_prefix(&format!("impl {name} {{"));
        let methods = methods.and_then(|rest| rest.split(" impl ").next()).unwrap_or_default();
        found.push(Structure { name: name.to_owned(), plain, bits: bit_fields(methods) });
    }
    assert!(!found.is_empty(), "bindgen writes structures in a form of its own");
    found
}

/// Parses the bit-fields that have accessors among these methods. A getter calls `get_const` and
/// the following setter `set_const`, with the first bit and the width.
fn bit_fields(methods: &str) -> Vec<BitField> {
    let place = |method: &str, call: &str| -> Option<(String, (usize, usize))> {
        let (before, after) = method.split_once(call)?;
        let unit = before.rsplit_once("self.")?.1.to_owned();
        let (first, width) = after.split_once('>')?.0.split_once(',')?;
        let first = first.strip_suffix("usize")?.parse().ok()?;
        Some((unit, (first, width.strip_suffix("u8")?.parse().ok()?)))
    };
    let mut found: Vec<BitField> = Vec::new();
    let mut setters = 0;
    for method in methods.split("pub fn ").skip(1) {
        let name = method.split('(').next().unwrap_or_default().trim();
        let method: String = method.split_whitespace().collect();
        if let Some((unit, at)) = place(&method, ".get_const::<") {
            found.push(BitField { name: name.to_owned(), unit, at });
        } else if let Some(set) = place(&method, ".set_const::<") {
            let got = found.last().map(|bit| (bit.unit.clone(), bit.at));
            assert_eq!(got, Some(set), "{name} writes other bits than are read");
            setters += 1;
        }
    }
    assert_eq!(found.len(), setters, "bindgen writes accessors in a form of its own: {methods}");
    found
}

/// The name of a field in C: bindgen appends an underscore to Rust keywords.
fn in_c(field: &str) -> &str {
    field.strip_suffix('_').unwrap_or(field)
}

impl Structure {
    /// The type in C.
    fn in_c(&self) -> String {
        // nginx's naming: `struct ngx_x_s`, `typedef struct { ... } ngx_x_t`
        let keyword = if self.name.ends_with("_s") { "struct " } else { "" };
        format!("{keyword}{}", self.name)
    }
}

/// The C source whose one constant contains all answers, in the order in which `proof` reads them.
pub fn questions(headers: &str, structures: &[Structure]) -> String {
    let (mut numbers, mut images, mut values) = (Vec::new(), String::new(), String::new());
    for structure in structures {
        let c = structure.in_c();
        numbers.push(format!("sizeof({c})"));
        for field in &structure.plain {
            let field = in_c(field);
            numbers.push(format!("offsetof({c}, {field})"));
            numbers.push(format!("sizeof((({c} *) 0)->{field})"));
        }
        for bit in &structure.bits {
            let image = format!("{}__{}", structure.name, bit.name);
            numbers.push(format!("offsetof(struct answers, {image})"));
            writeln!(images, "    {c} {image};").expect("memory");
            writeln!(values, "    .{image} = {{ .{} = ~0 }},", in_c(&bit.name)).expect("memory");
        }
    }
    let bytes = (0..NUMBER).map(|i| format!("(unsigned char) ((n) >> {})", 8 * i));
    let bytes = bytes.collect::<Vec<_>>().join(", ");
    let count = numbers.len();
    let numbers: String = numbers.iter().map(|n| format!("        {{ NUMBER({n}) }},\n")).collect();
    format!(
        "{headers}\n#include <stddef.h>\n\n#define NUMBER(n) {bytes}\n\n\
         struct answers {{\n    unsigned char mark[{}];\n    \
         unsigned char numbers[{count}][{NUMBER}];\n{images}}};\n\n\
         const struct answers ngx_layout_answers = {{\n    .mark = {{ {} }},\n    \
         .numbers = {{\n{numbers}    }},\n{values}}};\n",
        MARK.len(),
        MARK.map(|byte| byte.to_string()).join(", "),
    )
}

/// The constant in the object file.
pub struct Answers<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl<'a> Answers<'a> {
    pub fn find(object: &'a [u8], big_endian: bool) -> Self {
        let mut found = object.windows(MARK.len()).enumerate().filter(|(_, w)| *w == MARK);
        match (found.next(), found.next()) {
            (Some((at, _)), None) => Self { bytes: &object[at..], big_endian },
            _ => panic!("the answers are not in the object file, or more than once"),
        }
    }

    fn number(&self, index: usize) -> usize {
        let bytes = self.bytes.iter().skip(MARK.len() + index * NUMBER).take(NUMBER);
        bytes.rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
    }

    /// The first bit that is set in a structure, and the number of bits set. Counts as bindgen
    /// does: from the least significant bit of a byte if the target is little-endian, else from the
    /// most significant one.
    fn bits(&self, at: usize, size: usize) -> (usize, usize) {
        let byte = |index: usize| match self.big_endian {
            true => self.bytes[at + index].reverse_bits(),
            false => self.bytes[at + index],
        };
        let is_set = |bit: &usize| byte(bit / 8) >> (bit % 8) & 1 == 1;
        let set: Vec<_> = (0..8 * size).filter(is_set).collect();
        let (Some(first), Some(last)) = (set.first(), set.last()) else {
            panic!("a structure whose bit-field is set has no bit set");
        };
        assert_eq!(last - first + 1, set.len(), "a bit-field that is not in one piece");
        (*first, set.len())
    }
}

/// An assertion for each structure and field, for the types of both `ffi` and `bits`.
pub fn proof(structures: &[Structure], answers: &Answers) -> String {
    let mut proof = String::new();
    let mut numbers = (0..).map(|index| answers.number(index));
    let mut next = || numbers.next().expect("no end of numbers");
    for Structure { name, plain, bits } in structures {
        let size = next();
        let mut says = |what: &str, is: String, but: String| {
            writeln!(
                proof,
                "const _: () = assert!({is}, \"{name}{what}: the C compiler has {but}\");"
            )
            .expect("memory");
        };
        let both =
            format!("size_of::<ffi::{name}>() == {size} && size_of::<bits::{name}>() == {size}");
        says("", both, format!("{size} bytes"));
        for field in plain {
            let (at, size) = (next(), next());
            let of = |of: &str| {
                format!(
                    "offset_of!({of}::{name}, {field}) == {at} && \
                     size_of_field(|s: &{of}::{name}| &raw const s.{field}) == {size}"
                )
            };
            let both = format!("{} && {}", of("ffi"), of("bits"));
            says(&format!(".{field}"), both, format!("{size} bytes at byte {at}"));
        }
        for BitField { name: field, unit, at: (in_unit, width) } in bits {
            let (first, count) = answers.bits(next(), size);
            let is = format!(
                "offset_of!(bits::{name}, {unit}) * 8 + {in_unit} == {first} && {width} == {count}"
            );
            says(&format!(".{field}"), is, format!("bit {first}, {count} wide"));
        }
    }
    proof
}

/// Implements `Bits` for the structures of `ngx::ffi` that have bit-fields.
pub fn implementations(structures: &[Structure]) -> String {
    let with_bits = structures.iter().filter(|structure| !structure.bits.is_empty());
    with_bits.map(|Structure { name, .. }| format!("has_bits!({name});\n")).collect()
}
