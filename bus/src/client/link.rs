//! The two tasks of a client.
//!
//! The **poll task** drives rumqttc's event loop: it receives, and it is what empties rumqttc's bounded queue of
//! requests. It therefore never puts anything into that queue itself; the **pump task** does, and may wait. The
//! poll task waits for one thing only, a full inbox, and nobody who empties the inbox waits for the pump.

use super::outbox::Outgoing;
use super::{BusConfig, Incoming, LinkState, Shared, lock, now_us};
use crate::codec::{self, MAX_PAYLOAD_BYTES};
use crate::topic::{Delivery, Topic, TopicKind};
use bytes::Bytes;
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, LastWill, MqttOptions, NetworkOptions, Packet, Publish,
    QoS, SubscribeFilter, SubscribeReasonCode, TlsConfiguration, Transport,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use uuid::Uuid;

/// Requests between the pump and the event loop. Small: what is in there is lost when the connection is.
const REQUESTS: usize = 32;

/// Events on their way to the broker that it has not confirmed.
const INFLIGHT: u16 = 100;

/// The client reads packets a little larger than a payload may be, so that a payload that is too large is
/// counted as malformed instead of ending the connection.
const MAX_PACKET_BYTES: usize = 4 * MAX_PAYLOAD_BYTES;

const FIRST_PAUSE: Duration = Duration::from_millis(100);

pub(super) fn spawn(
    runtime: &Handle,
    shared: &Arc<Shared>,
    config: &BusConfig,
    (will_topic, will): (String, Bytes),
) -> Vec<AbortHandle> {
    let mut options = MqttOptions::new(&config.client_id, config.url.host(), config.url.port());
    options
        .set_keep_alive(config.limits.keep_alive)
        .set_clean_session(true)
        .set_inflight(INFLIGHT)
        .set_max_packet_size(MAX_PACKET_BYTES, MAX_PACKET_BYTES)
        .set_last_will(LastWill::new(will_topic, will, QoS::AtLeastOnce, true));
    if let Some(login) = config.url.login() {
        options.set_credentials(&login.username, &login.password);
    }
    if let Some(identity) = &config.identity {
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(identity))));
    }
    let (client, mut events) = AsyncClient::new(options, REQUESTS);
    // Without it a lone message waits some 40 ms for the other side's delayed TCP acknowledgement (measured).
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    events.set_network_options(network);
    // The number of TCP connections made, so that the pump knows when to subscribe.
    let (made, made_seen) = watch::channel(0_u64);
    let poll = runtime.spawn(poll(Arc::clone(shared), events, made));
    let pump = runtime.spawn(pump(Arc::clone(shared), client, made_seen));
    vec![poll.abort_handle(), pump.abort_handle()]
}

fn qos(kind: TopicKind) -> QoS {
    match kind.row().delivery {
        Delivery::AtMostOnce => QoS::AtMostOnce,
        Delivery::AtLeastOnce => QoS::AtLeastOnce,
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Subscribes on each new connection, then sends what waits.
async fn pump(shared: Arc<Shared>, client: AsyncClient, mut made: watch::Receiver<u64>) {
    let mut tick = interval(Duration::from_millis(250));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut connection = 0;
    let mut subscribed = 0;
    loop {
        let newest = *made.borrow_and_update();
        if newest != connection {
            connection = newest;
            subscribed = 0;
        }
        if connection > 0 {
            let filters = lock(&shared.filters)[subscribed..].to_vec();
            if !filters.is_empty() {
                let count = filters.len();
                let wanted = filters.into_iter().map(|(f, kind)| SubscribeFilter::new(f, qos(kind)));
                if client.subscribe_many(wanted).await.is_err() {
                    return;
                }
                if subscribed == 0 {
                    shared.outbox.repeat_all();
                }
                subscribed += count;
                continue;
            }
        }
        if connection > 0
            && !matches!(*shared.link.borrow(), LinkState::Down(_))
            && let Some(packet) = shared.outbox.pop()
        {
            let retain = packet.kind.row().retained;
            let sent = client.publish_bytes(packet.topic, qos(packet.kind), retain, packet.payload).await;
            if sent.is_err() {
                return;
            }
            count(&shared.counters.sent);
            continue;
        }
        if shared.outbox.is_finished() {
            let _ = client.disconnect().await;
            return;
        }
        let mut link = shared.link.subscribe();
        tokio::select! {
            () = shared.outbox.ready(), if matches!(*link.borrow_and_update(), LinkState::Up(_)) => {}
            () = shared.filters_bell.notified() => {}
            changed = made.changed() => if changed.is_err() { return },
            changed = link.changed() => if changed.is_err() { return },
            _ = tick.tick() => {
                if matches!(*shared.link.borrow(), LinkState::Up(_)) {
                    shared.outbox.repeat_stale(Instant::now());
                }
            }
        }
    }
}

/// Receives, and keeps the connection.
async fn poll(shared: Arc<Shared>, mut events: EventLoop, made: watch::Sender<u64>) {
    let mut pause = FIRST_PAUSE;
    let mut connection = 0;
    let mut subscribed = false;
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                connection += 1;
                subscribed = false;
                made.send_replace(connection);
            }
            Ok(Event::Incoming(Packet::SubAck(ack))) => {
                let refused = ack.return_codes.iter().filter(|c| **c == SubscribeReasonCode::Failure).count();
                if refused > 0 {
                    shared.counters.refused.fetch_add(refused as u64, Ordering::Relaxed);
                    tracing::error!(
                        url = %shared.url, refused,
                        "the broker refused subscriptions; check its access rules for this user"
                    );
                }
                if !subscribed {
                    subscribed = true;
                    pause = FIRST_PAUSE;
                    count(&shared.counters.connections);
                    tracing::info!(url = %shared.url, connection, "connected to the bus");
                    receive(&shared, Incoming::Connected, 0).await;
                    shared.link.send_replace(LinkState::Up(connection));
                }
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => deliver(&shared, &publish).await,
            Ok(Event::Outgoing(rumqttc::Outgoing::Disconnect)) => {
                // The packet is written; the next poll reports the end of the connection.
            }
            Ok(_) => {}
            Err(error) => {
                if shared.closing.load(Ordering::Acquire) {
                    shared.outbox.close();
                    shared.inbox.close();
                    shared.link.send_replace(LinkState::Closed);
                    return;
                }
                lost(&shared, &error, subscribed).await;
                subscribed = false;
                sleep(pause + jitter(pause)).await;
                pause = (pause * 2).min(shared.limits.max_pause);
            }
        }
    }
}

/// Up to a quarter more, so that a store's devices do not all come back at the same instant.
fn jitter(pause: Duration) -> Duration {
    pause.mul_f64(f64::from((Uuid::now_v7().as_u128() & 0xff) as u32) / 1024.0)
}

async fn lost(shared: &Arc<Shared>, error: &ConnectionError, was_up: bool) {
    let why = match error {
        ConnectionError::ConnectionRefused(code) => {
            format!("the broker refused the connection ({code:?}); check user and password_file")
        }
        other => other.to_string(),
    };
    let known = matches!(&*shared.link.borrow(), LinkState::Down(known) if *known == why);
    if !known {
        tracing::warn!(url = %shared.url, why, "no connection to the bus; trying again");
    }
    shared.link.send_replace(LinkState::Down(why.clone()));
    if was_up {
        receive(shared, Incoming::Disconnected { why }, 0).await;
    }
}

async fn receive(shared: &Arc<Shared>, message: Incoming, bytes: usize) {
    if let Err(message) = shared.inbox.offer(message, bytes) {
        count(&shared.counters.stalls);
        shared.inbox.push(*message, bytes).await;
    }
}

async fn deliver(shared: &Arc<Shared>, publish: &Publish) {
    let decoded = Topic::parse(&publish.topic)
        .map_err(|e| e.to_string())
        .and_then(|topic| decode(&topic, &publish.payload).map(|message| (topic, message)));
    let message = match decoded {
        Ok((topic, message)) => {
            count(&shared.counters.received);
            match route(shared, &topic, message) {
                Some(message) => message,
                None => return,
            }
        }
        Err(why) => {
            count(&shared.counters.malformed);
            tracing::warn!(topic = publish.topic, why, "malformed message on the bus");
            Incoming::Malformed { topic: publish.topic.clone(), why }
        }
    };
    receive(shared, message, publish.payload.len()).await;
}

fn decode(topic: &Topic, bytes: &[u8]) -> Result<Incoming, String> {
    let message = match topic.kind() {
        TopicKind::People => codec::decode(topic, bytes).map(Incoming::People),
        TopicKind::Event => codec::decode(topic, bytes).map(Incoming::Event),
        TopicKind::Watermark => codec::decode(topic, bytes).map(Incoming::Watermark),
        TopicKind::Shoppers => codec::decode(topic, bytes)
            .map(|shoppers| Incoming::Shoppers { source: topic.source().to_owned(), shoppers }),
        TopicKind::Progress => codec::decode(topic, bytes).map(Incoming::Progress),
        TopicKind::Status => codec::decode(topic, bytes).map(Incoming::Status),
        TopicKind::Ack => codec::decode(topic, bytes).map(Incoming::Ack),
        TopicKind::Resend => codec::decode(topic, bytes).map(Incoming::Resend),
        TopicKind::Counts => codec::decode(topic, bytes).map(Incoming::Counts),
        TopicKind::Handlings => codec::decode(topic, bytes).map(Incoming::Handlings),
        TopicKind::View => codec::decode(topic, bytes).map(Incoming::View),
        TopicKind::Wanted => codec::decode(topic, bytes).map(Incoming::Wanted),
        TopicKind::InForce => codec::decode(topic, bytes).map(Incoming::InForce),
    };
    message.map_err(|e| e.to_string())
}

/// Gives the client's own business to where it belongs; what is left is the consumer's, if it asked for it.
fn route(shared: &Arc<Shared>, topic: &Topic, message: Incoming) -> Option<Incoming> {
    match &message {
        Incoming::Ack(ack) => {
            if let Some(tap) = lock(&shared.taps).get(&ack.source) {
                tap.hear_ack(ack.clone());
            }
        }
        Incoming::Resend(resend) => {
            if let Some(tap) = lock(&shared.taps).get(&resend.source) {
                tap.hear_resend(resend.clone());
            }
        }
        Incoming::Wanted(wanted) if topic.source() == shared.own_status.source() => {
            shared.release.send_replace(Some(wanted.clone()));
        }
        Incoming::Status(status) if *topic == shared.own_status && !status.online => revive(shared),
        _ => {}
    }
    shared.wanted.iter().any(|s| s.covers(topic)).then_some(message)
}

/// Somebody said that we are gone: a last will of an older connection. We are not, unless we are just closing.
fn revive(shared: &Arc<Shared>) {
    if shared.closing.load(Ordering::Acquire) {
        return;
    }
    if let Some(mut status) = shared.outbox.newest_status(&shared.own_status)
        && status.online
    {
        status.time_us = now_us();
        // Never refused for lack of room, and its encoding has worked before.
        let _ = shared.publish(&Outgoing::Status(status));
    }
}
