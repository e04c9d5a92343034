//! The sentences that give the reasons for a verdict. To write them takes much longer than to
//! decide, and hardly anybody reads them: so they are counted, and written where somebody does.

/// Sentences in their order.
#[derive(Debug)]
pub(super) struct Sentences {
    count: usize,
    /// Absent: they are only counted.
    texts: Option<Vec<String>>,
}

impl Sentences {
    pub(super) const fn written() -> Self {
        Self { count: 0, texts: Some(Vec::new()) }
    }

    pub(super) const fn counted() -> Self {
        Self { count: 0, texts: None }
    }

    /// Returns an empty list that is written if this one is.
    pub(super) fn alike(&self) -> Self {
        if self.texts.is_some() { Self::written() } else { Self::counted() }
    }

    pub(super) fn push(&mut self, sentence: impl FnOnce() -> String) {
        self.count += 1;
        if let Some(texts) = &mut self.texts {
            texts.push(sentence());
        }
    }

    /// Puts a sentence before all others.
    pub(super) fn push_first(&mut self, sentence: impl FnOnce() -> String) {
        self.count += 1;
        if let Some(texts) = &mut self.texts {
            texts.insert(0, sentence());
        }
    }

    pub(super) fn append(&mut self, other: Self) {
        self.count += other.count;
        if let Some(texts) = &mut self.texts {
            texts.extend(other.texts.into_iter().flatten());
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.count
    }

    pub(super) fn into_texts(self) -> Vec<String> {
        self.texts.unwrap_or_default()
    }
}
