//! `/api/live`: the present, as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;

use super::Context;
use crate::live::{LiveMessage, count};

/// What is happening now, as server-sent events: `shoppers` (positions, at most ten times a second), `event` (a numbered
/// event that is in the ledger now), `status` (a device's state), `missed` (how many messages this viewer was too slow
/// for: read the lists again).
#[utoipa::path(get, path = "/api/live", responses(
    (status = 200, description = "The answer.", content_type = "text/event-stream", body = String)))]
pub(super) async fn live(
    State(context): State<Context>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let (first, mut rest) = context.live.view();
    // Small: what waits for a slow viewer waits in the ring, where the oldest gives way.
    let (send, receive) = mpsc::channel(8);
    let mut stop = context.stop.clone();
    let live = std::sync::Arc::clone(&context.live);
    tokio::spawn(async move {
        let event = |m: &LiveMessage| Ok(Event::default().event(m.name).data(&*m.data));
        for message in &first {
            if send.send(event(message)).await.is_err() {
                return;
            }
        }
        loop {
            let next = tokio::select! {
                next = rest.recv() => next,
                () = send.closed() => return,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let sent = match next {
                Ok(message) => send.send(event(&message)).await,
                Err(RecvError::Lagged(missed)) => {
                    count(&live.counters.viewers_missed, missed);
                    send.send(Ok(Event::default().event("missed").data(missed.to_string()))).await
                }
                Err(RecvError::Closed) => return,
            };
            if sent.is_err() {
                return;
            }
        }
    });
    Sse::new(ReceiverStream::new(receive)).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}
