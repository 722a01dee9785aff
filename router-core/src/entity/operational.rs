//! The types of entities that nobody configures: what the router tells about itself while it runs. Described once, like those of
//! [`super::kinds`], and offered by management only.

use super::table::{AttributeDescriptor, EntityDescriptor, Identity, Operation};
use super::tags::{AdminStatus, LinkDirection, LinkType, OperStatus};
use super::value::{AttributeType, List, Map};

macro_rules! operational {
    ($(
        $(#[doc = $doc:literal])*
        $kind:ident = $name:literal [$($operation:ident)*] {
            $($(#[doc = $adoc:literal])* $attribute:literal: $ty:ty $([$($flag:ident)*])?;)*
        }
    )*) => {
        /// The types of entities that only a running router has.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum OperationalKind {
            $($(#[doc = $doc])* $kind,)*
        }

        impl OperationalKind {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// The row of the table.
            pub const fn descriptor(self) -> &'static EntityDescriptor {
                match self {
                    $(Self::$kind => {
                        const ATTRIBUTES: &[AttributeDescriptor] = &[$({
                            #[allow(unused_mut, reason = "attributes without flags")]
                            let mut attribute = AttributeDescriptor {
                                name: $attribute,
                                ty: <$ty as AttributeType>::TYPE,
                                default: None,
                                required: false,
                                create: false,
                                update: false,
                                ours: false,
                                pending: false,
                                inert: false,
                                doc: &[$($adoc),*],
                            };
                            $($(attribute.$flag = true;)*)?
                            attribute
                        },)*];
                        const DESCRIPTOR: &EntityDescriptor = &EntityDescriptor {
                            name: $name,
                            aliases: &[],
                            plural: $name,
                            singleton: false,
                            at_most_one: false,
                            ours: false,
                            operations: &[$(Operation::$operation),*],
                            identity: Identity::BareCounter,
                            attributes: ATTRIBUTES,
                            doc: &[$($doc),*],
                        };
                        DESCRIPTOR
                    })*
                }
            }
        }
    };
}

operational! {
    /// The router's counters, added up over all links. There is one.
    RouterMetrics = "routerMetrics" [Read] {
        /// The router's id.
        "id": String;
        /// The version of the router.
        "version": String;
        /// Addresses that are in use here.
        "addrCount": i64;
        /// Links of connections.
        "linkCount": i64;
        /// Other routers of the network that are known.
        "nodeCount": i64;
        /// Auto-links.
        "autoLinkCount": i64;
        /// Connections: AMQP connections and TCP flows.
        "connectionCount": i64;
        /// Deliveries that came in settled.
        "presettledDeliveries": i64;
        /// Settled deliveries that nobody received.
        "droppedPresettledDeliveries": i64;
        /// Deliveries whose senders were told `accepted`.
        "acceptedDeliveries": i64;
        /// Deliveries whose senders were told `rejected`.
        "rejectedDeliveries": i64;
        /// Deliveries whose senders were told `released`.
        "releasedDeliveries": i64;
        /// Deliveries whose senders were told `modified`.
        "modifiedDeliveries": i64;
        /// Deliveries that came in from clients.
        "deliveriesIngress": i64;
        /// Deliveries that went out to clients, each copy of a multicast delivery counted.
        "deliveriesEgress": i64;
        /// Deliveries that went to other interior routers, wherever they came from.
        "deliveriesTransit": i64;
        /// Deliveries that came in from route containers.
        "deliveriesIngressRouteContainer": i64;
        /// Deliveries that went out to route containers.
        "deliveriesEgressRouteContainer": i64;
        /// Deliveries that came from other networks.
        "deliveriesIngressInterNetwork": i64;
        /// Deliveries that went to other networks.
        "deliveriesEgressInterNetwork": i64;
        /// Memory in use, in bytes.
        "residentMemoryUsage": i64;
        /// Address space in use, in bytes.
        "memoryUsage": i64;
        /// Seconds since the router was started.
        "uptimeSeconds": i64;
        /// Complete deliveries that have been unsettled for more than ten seconds.
        "deliveriesStuck": i64;
        /// Deliveries that took more than ten seconds.
        "deliveriesDelayed10Sec": i64;
        /// Deliveries that took more than one second, and not more than ten.
        "deliveriesDelayed1Sec": i64;
        /// Receivers that have given no credit, and senders that were given none, for more than ten seconds.
        "linksBlocked": i64;
        /// Open connections by protocol.
        "connectionCounters": Map;
    }

    /// A link of a connection.
    Link = "router.link" [Read] {
        /// `up` while it is attached.
        "operStatus": OperStatus;
        /// The name that whoever attached it gave it.
        "linkName": String;
        /// What it is for.
        "linkType": LinkType;
        /// `in` if the peer sends, `out` if it receives.
        "linkDir": LinkDirection;
        /// Key of its address; none for anonymous senders.
        "owningAddr": String;
        /// How many deliveries may be under way.
        "capacity": i64;
        /// Deliveries that wait to be sent.
        "undeliveredCount": i64;
        /// Deliveries that are not settled.
        "unsettledCount": i64;
        /// Deliveries so far.
        "deliveryCount": i64;
        /// Identity of its connection.
        "connectionId": String;
        /// Deliveries that were sent settled.
        "presettledCount": i64;
        /// Settled deliveries that nobody received.
        "droppedPresettledCount": i64;
        /// Deliveries with the outcome `accepted`.
        "acceptedCount": i64;
        /// Deliveries with the outcome `rejected`.
        "rejectedCount": i64;
        /// Deliveries with the outcome `released`.
        "releasedCount": i64;
        /// Deliveries with the outcome `modified`.
        "modifiedCount": i64;
        /// Deliveries that took more than one second, and not more than ten.
        "deliveriesDelayed1Sec": i64;
        /// Deliveries that took more than ten seconds.
        "deliveriesDelayed10Sec": i64;
        /// Complete deliveries that have been unsettled for more than ten seconds.
        "deliveriesStuck": i64;
        /// Streams that were begun here and moved to a link of their own.
        "openMovedStreams": i64;
        /// Deliveries that may be sent at once.
        "creditAvailable": i64;
        /// For how many seconds the receiver has given no credit, or the sender was given none.
        "zeroCreditSeconds": i64;
        /// Deliveries settled a second, of the last five seconds or so.
        "settleRate": i64;
        /// Deliveries by the router where they entered the network.
        "ingressHistogram": List;
        /// Priority of a link between routers.
        "priority": i64;
    }

    /// An address that is in use.
    Address = "router.address" [Read] {
        /// How deliveries are distributed over the consumers.
        "distribution": String;
        /// Consumers inside the router.
        "inProcess": i64;
        /// Consumers of this router: receivers, and servers of TCP.
        "subscriberCount": i64;
        /// Other routers that have consumers.
        "remoteCount": i64;
        /// Consumers in route containers.
        "containerCount": i64;
        /// Deliveries that came in from clients; a TCP connection is one.
        "deliveriesIngress": i64;
        /// Deliveries that went out to clients; a TCP connection is one.
        "deliveriesEgress": i64;
        /// Deliveries that went to other interior routers, wherever they came from.
        "deliveriesTransit": i64;
        /// Deliveries to consumers inside the router.
        "deliveriesToContainer": i64;
        /// Deliveries from the router itself.
        "deliveriesFromContainer": i64;
        /// Deliveries from route containers.
        "deliveriesIngressRouteContainer": i64;
        /// Deliveries to route containers.
        "deliveriesEgressRouteContainer": i64;
        /// Deliveries from other networks.
        "deliveriesIngressInterNetwork": i64;
        /// Deliveries to other networks.
        "deliveriesEgressInterNetwork": i64;
        /// The letter of its class, and the address.
        "key": String;
        /// Other routers that have consumers, by id.
        "remoteHostRouters": List;
        /// Deliveries under way to each other router.
        "transitOutstanding": List;
        /// Deliveries whose outcome the router waits for on behalf of the address.
        "trackedDeliveries": i64;
        /// Priority of its deliveries; -1 for that of each message.
        "priority": i64;
        /// The router follows whether it can be reached.
        "watch": bool;
        /// Senders of this router, anonymous ones not counted.
        "senderCount": i64 [ours];
        /// Deliveries that wait for credit of a consumer.
        "waitingCount": i64 [ours];
    }

    /// A router of the network.
    Node = "router.node" [Read] {
        /// Its id.
        "id": String;
        /// The version of the routing protocol that it speaks.
        "protocolVersion": i64;
        /// When it was started, in seconds since 1970.
        "instance": i64;
        /// Its neighbours, by id.
        "linkState": List;
        /// The neighbour through which it is reached; `(self)` for this router.
        "nextHop": String;
        /// Routers whose deliveries for it pass through here.
        "validOrigins": List;
        /// Its address.
        "address": String;
        /// The link to it, if it is a neighbour.
        "routerLink": i64;
        /// What the way to it costs.
        "cost": i64;
        /// When the network last changed, in seconds since 1970.
        "lastTopoChange": i64;
        /// Its number in bit masks.
        "index": i64;
    }

    /// A service of the network: what sites expose and want. Every router knows those of all. Of our own.
    Service = "service" [Read] {
        /// Its address.
        "address": String;
        /// `tcp` or `amqp`.
        "protocol": String;
        /// The ports of its servers; of the listeners for it, if there are none.
        "ports": List;
        /// What whoever configured it says about it.
        "labels": Map;
        /// Routers whose sites have servers or consumers, by id.
        "exposedBy": List;
        /// Routers whose sites have listeners, by id.
        "wantedBy": List;
        /// A map for each site and role: `site`, `siteName`, `role` (`exposes` or `wants`), `count`, `ports`, `labels`.
        "places": List;
    }

    /// A connection of a client or of another router, or a socket of a TCP flow.
    Connection = "connection" [Read Update] {
        /// Set to `deleted`, it closes the connection, if that is not one between routers.
        "adminStatus": AdminStatus [update];
        /// Whether it is being closed.
        "operStatus": OperStatus;
        /// `amqp` or `tcp`.
        "protocol": String;
        /// The peer's container-id.
        "container": String;
        /// Both sides have opened it.
        "opened": bool;
        /// The peer's address.
        "host": String;
        /// Our address.
        "localSocket": String;
        /// `in` if the peer connected.
        "dir": LinkDirection;
        /// What the peer is to us, as the role of listeners.
        "role": String;
        /// The mesh of edge routers that the peer belongs to.
        "meshId": String;
        /// The peer has authenticated itself, if only as anonymous.
        "isAuthenticated": bool;
        /// It is encrypted.
        "isEncrypted": bool;
        /// Its frames are written to the log, in module PROTOCOL.
        "enableProtocolTrace": bool [update];
        /// The SASL mechanism.
        "sasl": String;
        /// The peer's user name.
        "user": String;
        /// It has TLS.
        "ssl": bool;
        /// The version of TLS.
        "sslProto": String;
        /// The cipher suite.
        "sslCipher": String;
        /// Strength of the cipher in bits.
        "sslSsf": i64;
        /// Seconds since it was accepted or made.
        "uptimeSeconds": i64;
        /// Properties of the peer's open.
        "properties": Map;
        /// Seconds since the last delivery; none before the first.
        "lastDlvSeconds": i64;
        /// Version of the credentials of its `sslProfile`.
        "tlsOrdinal": i64;
        /// The group of connections that it belongs to.
        "groupCorrelationId": String;
        /// The version of that group.
        "groupOrdinal": i64;
        /// Deliveries may go over it: it is open, and if it leads to a router, not one that only stands by.
        "active": bool;
        /// Name of the listener or connector.
        "listener": String [ours];
    }

    /// A socket of a TCP flow: a client of a `tcpListener`, or the connection that a `tcpConnector` made to its server. Its identity is that of
    /// the `connection` entity for the same socket.
    TcpConnection = "tcpConnection" [Read] {
        /// The address that the flow is for.
        "address": String;
        /// The peer's address.
        "host": String;
        /// `in` if the peer connected.
        "direction": LinkDirection;
        /// Bytes received.
        "bytesIn": i64;
        /// Bytes sent.
        "bytesOut": i64;
        /// Seconds since it was accepted or made.
        "uptimeSeconds": i64;
        /// Seconds since the last byte was received. Not measured: none.
        "lastInSeconds": i64;
        /// Seconds since the last byte was sent. Not measured: none.
        "lastOutSeconds": i64;
    }

    /// What a part of the router has logged, by severity. What is not enabled is not counted.
    LogStats = "logStats" [Read] {
        /// At `debug`.
        "debugCount": i64;
        /// At `info`.
        "infoCount": i64;
        /// At `notice`. There is no such level any more: 0.
        "noticeCount": i64;
        /// At `warning`.
        "warningCount": i64;
        /// At `error`.
        "errorCount": i64;
        /// At `critical`.
        "criticalCount": i64;
    }

    /// Memory pools. There are none here.
    Allocator = "allocator" [Read] {
        /// What a pool holds.
        "typeName": String;
        /// The size of one.
        "typeSize": i64;
        /// How many move at once.
        "transferBatchSize": i64;
        /// How many a thread keeps.
        "localFreeListMax": i64;
        /// How many all threads keep.
        "globalFreeListMax": i64;
        /// How many were allocated.
        "totalAllocFromHeap": i64;
        /// How many were given back.
        "totalFreeToHeap": i64;
        /// How many threads hold.
        "heldByThreads": i64;
        /// Batches that threads took.
        "batchesRebalancedToThreads": i64;
        /// Batches that threads gave back.
        "batchesRebalancedToGlobal": i64;
    }

    /// What the policy of a vhost has counted.
    VhostStats = "vhostStats" [Read] {
        /// The vhost.
        "hostname": String;
        /// Connections that were allowed.
        "connectionsApproved": i64;
        /// Connections that were refused.
        "connectionsDenied": i64;
        /// Connections that are open.
        "connectionsCurrent": i64;
        /// Their names, by user.
        "perUserState": Map;
        /// Their names, by host.
        "perHostState": Map;
        /// Sessions that were refused.
        "sessionDenied": i64;
        /// Senders that were refused.
        "senderDenied": i64;
        /// Receivers that were refused.
        "receiverDenied": i64;
        /// Messages that were refused for their size.
        "maxMessageSizeDenied": i64;
    }

    /// What a group of a vhost's users may do, as `groups` of `vhost` says it. Limits of 0, and those that are not set, are none.
    VhostUserGroupSettings = "vhostUserGroupSettings" [Read] {
        /// Names of the users, separated by commas; `*` for all. Who did not authenticate is `anonymous`.
        "users": String;
        /// Hosts that they may connect from, separated by commas: addresses, ranges such as `10.0.0.0-10.0.0.255`, names, or `*` for all. Without
        /// any, nobody may.
        "remoteHosts": String;
        /// How many connections a user may have.
        "maxConnectionsPerUser": i64;
        /// How many connections may come from a host.
        "maxConnectionsPerHost": i64;
        /// The largest message, in bytes.
        "maxMessageSize": i64;
        /// The largest frame, in bytes.
        "maxFrameSize": i64;
        /// How many bytes may be on their way to the router in a session.
        "maxSessionWindow": i64;
        /// How many sessions a connection may have.
        "maxSessions": i64;
        /// How many senders a connection may have.
        "maxSenders": i64;
        /// How many receivers a connection may have.
        "maxReceivers": i64;
        /// Receivers may have an address made up for them (`no` if not set).
        "allowDynamicSource": bool;
        /// Senders need not have an address: each message says where it goes, which has to be allowed, too (`no` if not set).
        "allowAnonymousSender": bool;
        /// Messages may name another user than the one who sends them (`no` if not set).
        "allowUserIdProxy": bool;
        /// They may close connections by management (`yes` if not set).
        "allowAdminStatusUpdate": bool;
        /// Addresses to receive from, separated by commas. A `*` at the end stands for whatever follows, `${user}` for the user.
        "sources": String;
        /// Addresses to send to, in the same form.
        "targets": String;
        /// The same as patterns of tokens, separated by `/` or `.`: `*` stands for one, `#` for any number of them.
        "sourcePattern": String;
        /// Patterns of addresses to send to.
        "targetPattern": String;
    }

    /// The management agent. There is one, named `self`.
    Management = "management" [Read] {}
}
