//! How acknowledgements and resend requests reach the publisher of the source that they concern.

use super::lock;
use crate::payload::{Ack, Resend};
use std::sync::Mutex;
use tokio::sync::Notify;

/// What a sequenced source waits for: the ledger's acknowledgement and requests to send again.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    heard: Mutex<Heard>,
    pub(crate) bell: Notify,
}

/// What a [`Tap`] has heard since it was last asked.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Newest acknowledgement.
    pub(crate) ack: Option<Ack>,
    /// Resend requests for the lowest number, by numbering.
    pub(crate) resend: Option<Resend>,
}

impl Tap {
    pub(super) fn hear_ack(&self, ack: Ack) {
        lock(&self.heard).ack = Some(ack);
        self.bell.notify_one();
    }

    pub(super) fn hear_resend(&self, resend: Resend) {
        let mut heard = lock(&self.heard);
        match &mut heard.resend {
            Some(known) if known.epoch == resend.epoch => {
                known.from_seq = known.from_seq.min(resend.from_seq);
            }
            other => *other = Some(resend),
        }
        drop(heard);
        self.bell.notify_one();
    }

    /// What has been heard since the last call.
    pub(crate) fn take(&self) -> Heard {
        std::mem::take(&mut *lock(&self.heard))
    }
}
