//! What a variable needs to have an effect.

/// Something without which a variable has no effect.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// This variable is not `off`.
    On(&'static str),
    /// This variable has a value.
    Value(&'static str),
    /// This variable has this value.
    Is(&'static str, &'static str),
    /// One of the two is met.
    Either(&'static Self, &'static Self),
    /// A destination is a name that is looked up.
    NamedDestination,
    /// The folder named by the variable exists.
    Folder,
}

impl Need {
    /// The variables that it depends on.
    pub fn variables(&self) -> Vec<&'static str> {
        match self {
            Self::On(name) | Self::Value(name) | Self::Is(name, _) => vec![name],
            Self::Either(one, other) => [one.variables(), other.variables()].concat(),
            Self::NamedDestination | Self::Folder => Vec::new(),
        }
    }

    /// In Markdown, for "only where ...".
    pub fn about(&self) -> String {
        match self {
            Self::On(name) => format!("`{name}` is not `off`"),
            Self::Value(name) => format!("`{name}` has a value"),
            Self::Is(name, value) => format!("`{name}` is `{value}`"),
            Self::Either(one, other) => format!("{} or {}", one.about(), other.about()),
            Self::NamedDestination => "a destination is a name".to_owned(),
            Self::Folder => "the folder exists".to_owned(),
        }
    }
}
