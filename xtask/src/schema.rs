//! `docs/status.schema.json`, a JSON Schema.

use std::iter;

use ngx_http_elb_websocket_module::registry::{
    status_members, Context, Directive, Member, Shape, DEFINITIONS, DIRECTIVES, VARIABLES,
};
use serde::{Serialize, Serializer};
use serde_json::{json, Value};

/// An object that preserves the order of its members, for human readers.
struct Object(Vec<(&'static str, Node)>);

enum Node {
    Value(Value),
    Object(Object),
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, node)| (name, node)))
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => value.serialize(serializer),
            Self::Object(object) => object.serialize(serializer),
        }
    }
}

fn value(value: impl Into<Value>) -> Node {
    Node::Value(value.into())
}

/// The whole schema.
pub fn schema() -> String {
    let head = [
        ("$schema", value("https://json-schema.org/draft/2020-12/schema")),
        ("title", value("What websocket_status answers")),
    ];
    let definitions = DEFINITIONS.iter().map(|definition| {
        let about = definition.about.map(|about| ("description", value(about)));
        let parts = about.into_iter().chain(object(definition.members));
        (definition.name, Node::Object(Object(parts.collect())))
    });
    let definitions = Node::Object(Object(definitions.collect()));
    let parts = head.into_iter().chain(object(&status_members())).chain([("$defs", definitions)]);
    // maps with text as keys cannot fail
    serde_json::to_string_pretty(&Object(parts.collect())).unwrap_or_default() + "\n"
}

type Part = (&'static str, Node);

/// The schema of an object with exactly these members.
fn object(members: &[Member]) -> impl Iterator<Item = Part> {
    let properties = members.iter().map(|member| (member.name, property(member)));
    let names: Vec<_> = members.iter().map(|member| member.name).collect();
    [
        ("type", value("object")),
        ("properties", Node::Object(Object(properties.collect()))),
        ("required", value(names)),
        ("additionalProperties", value(false)),
    ]
    .into_iter()
}

fn property(member: &Member) -> Node {
    let about = member.about.text().map(|about| ("description", value(about)));
    Node::Object(Object(about.into_iter().chain(shape(member.shape)).collect()))
}

fn shape(shape: Shape) -> Vec<Part> {
    let kind = |name: &str| ("type", value(name));
    match shape {
        Shape::Text => vec![kind("string")],
        Shape::Word(words) => vec![kind("string"), ("enum", value(words()))],
        Shape::Flag => vec![kind("boolean")],
        Shape::Whole(least) => vec![kind("integer"), ("minimum", value(least))],
        Shape::Number => vec![kind("number"), ("minimum", value(0))],
        Shape::List(members) => list(object(members)),
        Shape::ListOf(definition) => list(iter::once(reference(definition.name))),
        Shape::Object(members) => object(&members()).collect(),
        Shape::Defined(definition) => vec![reference(definition.name)],
        Shape::Settings => settings(),
    }
}

fn list(items: impl Iterator<Item = Part>) -> Vec<Part> {
    vec![("type", value("array")), ("items", Node::Object(Object(items.collect())))]
}

fn reference(name: &str) -> Part {
    ("$ref", value(format!("#/$defs/{name}")))
}

/// The variables that directives of the module read, and the directives of the tunnel that a
/// location inherits. A configuration may use other variables.
fn settings() -> Vec<Part> {
    let of_module = |name: &str| name.starts_with("elb_") && name != "elb_env";
    let variables = VARIABLES.iter().filter(|one| one.read_by.iter().any(|name| of_module(name)));
    let is_inherited = |one: &&Directive| one.contexts.contains(&Context::Server);
    let directives =
        DIRECTIVES.iter().filter(|one| one.name.starts_with("websocket_")).filter(is_inherited);
    let names = variables.map(|one| one.name).chain(directives.map(|one| one.name));
    let properties = names.map(|name| (name, value(json!({ "type": "string" }))));
    vec![
        ("type", value("object")),
        ("properties", Node::Object(Object(properties.collect()))),
        ("additionalProperties", value(json!({ "type": "string" }))),
    ]
}
