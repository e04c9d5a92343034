//! Values that clones share until one of them is changed. So a clone of thousands of them costs
//! little, whatever they hold.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value that clones share. Whoever changes it gets a copy of their own, if it is shared then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shared<T>(Arc<T>);

impl<T> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

/// As the value itself.
impl<T: Serialize> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        T::serialize(self, serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_one_clone_is_not_seen_in_another() {
        let mut first = vec![Shared::from("a".to_owned()), Shared::from("b".to_owned())];
        let second = first.clone();
        first[0].push('c');
        assert_eq!((first[0].as_str(), second[0].as_str()), ("ac", "a"));
        assert!(std::ptr::eq::<String>(&*first[1], &*second[1]), "what did not change is shared");
        let text = serde_json::to_string(&first).expect("text");
        assert_eq!(text, r#"["ac","b"]"#);
        assert_eq!(serde_json::from_str::<Vec<Shared<String>>>(&text).expect("values"), first);
    }
}
