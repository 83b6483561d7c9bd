//! How many bodies of texts are being worked off. Their texts are handed to the engine a few at a time, so one that drains must wait for them.

use std::sync::Arc;

use tokio::sync::watch;

/// Counts them.
#[derive(Debug, Clone)]
pub(crate) struct InHand {
    count: Arc<watch::Sender<usize>>,
}

/// One of them, until it is dropped.
pub(crate) struct Held(InHand);

impl InHand {
    pub fn new() -> Self {
        Self { count: Arc::new(watch::Sender::new(0)) }
    }

    /// One more.
    pub fn add(&self) -> Held {
        self.count.send_modify(|count| *count += 1);
        Held(self.clone())
    }

    /// Waits until there is none.
    pub async fn none(&self) {
        // Who counts is there as long as this is.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.count.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn none_is_there_once_each_was_dropped() {
        let in_hand = InHand::new();
        in_hand.none().await;
        let (first, second) = (in_hand.add(), in_hand.add());
        drop(first);
        let wait = tokio::spawn({
            let in_hand = in_hand.clone();
            async move { in_hand.none().await }
        });
        tokio::task::yield_now().await;
        assert!(!wait.is_finished());
        drop(second);
        assert!(wait.await.is_ok());
    }
}
