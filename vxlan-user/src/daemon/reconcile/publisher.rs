//! Publishes what is on record, beside the event loop: a disk may be slow, or hang. The record
//! comes first: a status that the metrics report is in `vxlan show`, too.

use std::io;

use tokio::task::JoinHandle;

use crate::state::Record;

/// Publishes one thing after the other.
#[derive(Debug, Default)]
pub(super) struct Publisher(Option<JoinHandle<()>>);

impl Publisher {
    /// Stores a record, if there is one, and then calls `publish`; both after everything that was
    /// to be published before.
    pub(super) fn publish_after(
        &mut self,
        record: Option<Record>,
        publish: impl FnOnce(io::Result<()>) + Send + 'static,
    ) {
        let before = self.0.take();
        self.0 = Some(tokio::spawn(async move {
            if let Some(before) = before {
                let _ended = before.await;
            }
            publish(match record.map(Record::store_aside) {
                Some(stored) => stored.await.unwrap_or_else(|error| Err(io::Error::other(error))),
                None => Ok(()),
            });
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn what_was_found_first_is_published_first() {
        let mut publisher = Publisher::default();
        let (sender, published) = mpsc::channel();
        for number in 0..100 {
            let sender = sender.clone();
            publisher.publish_after(None, move |stored| {
                stored.expect("nothing was to be stored");
                sender.send(number).expect("the test waits");
            });
        }
        publisher.0.take().expect("a task").await.expect("it ends");
        assert_eq!(published.try_iter().collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
    }
}
