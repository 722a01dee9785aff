//! The enumerations of the entity model.

use super::value::tags;

tags! {
    /// What a router is in its network.
    Mode {
        /// On its own: no links to other routers.
        Standalone = "standalone",
        /// A full member of the network: routes for others.
        Interior = "interior",
        /// A leaf: reaches the network through one interior router.
        Edge = "edge",
    }

    /// Which connections of an edge router to interior routers are in use.
    ActiveUplinks {
        /// One; another takes its place when it is lost.
        One = "one",
        /// All that lead to routers of this make, one to each; if there is none, one to another router.
        All = "all",
    }

    /// How deliveries to an address are distributed over its consumers.
    Distribution {
        /// A copy to every consumer.
        Multicast = "multicast",
        /// To the nearest consumer, in turn among equals.
        Closest = "closest",
        /// To the consumer with the least outstanding work.
        Balanced = "balanced",
        /// To nobody: links for the address are refused.
        Unavailable = "unavailable",
    }

    /// What the peers of an AMQP listener or connector are.
    Role {
        /// Clients.
        Normal = "normal",
        /// Interior routers of the same network.
        InterRouter = "inter-router",
        /// Brokers and other containers that auto-links are made to.
        RouteContainer = "route-container",
        /// Edge routers, or the interior router an edge router belongs to.
        Edge = "edge",
        /// Edge routers of the same mesh.
        InterEdge = "inter-edge",
        /// Routers of another network.
        InterNetwork = "inter-network",
    }

    /// The address family that a name is resolved to.
    SocketAddressFamily {
        /// IPv4 addresses only.
        V4 = "IPv4",
        /// IPv6 addresses only.
        V6 = "IPv6",
    }

    /// In which direction the router's own annotations are taken off messages.
    StripAnnotations {
        /// From messages that come in.
        In = "in",
        /// From messages that go out.
        Out = "out",
        /// In both directions.
        Both = "both",
        /// In neither direction.
        No = "no",
    }

    /// How a TCP listener with several addresses picks one for a connection.
    MultiAddressStrategy {
        /// It has one address.
        None = "none",
        /// The reachable address of the highest value.
        Priority = "priority",
        /// Any reachable address, as often as its value says.
        Weighted = "weighted",
    }

    /// Which application protocol is looked for in the bytes of a TCP flow.
    Observer {
        /// No protocol: bytes are not looked at.
        None = "none",
        /// HTTP/1 or HTTP/2, found out from the first bytes.
        Auto = "auto",
        /// HTTP/1.
        Http1 = "http1",
        /// HTTP/2.
        Http2 = "http2",
    }

    /// Whether connections to a TCP listener begin with a PROXY protocol header.
    ProxyProtocolAccept {
        /// They do not: the first byte is the application's.
        None = "none",
        /// They must, in version 1 (text) or 2 (binary).
        Any = "any",
    }

    /// Which PROXY protocol header a TCP connector sends to its server.
    ProxyProtocolSend {
        /// None.
        None = "none",
        /// Version 1 (text).
        V1 = "v1",
        /// Version 2 (binary).
        V2 = "v2",
    }

    /// The direction of a link, seen from the router.
    Direction {
        /// The router receives.
        In = "in",
        /// The router sends.
        Out = "out",
    }

    /// Whether a socket is open.
    UpDown {
        /// It is.
        Up = "up",
        /// It is not.
        Down = "down",
    }

    /// Which way deliveries, or the first packet of a connection, went.
    LinkDirection {
        /// To the router.
        In = "in",
        /// From the router.
        Out = "out",
    }

    /// What a link is for.
    LinkType {
        /// A client's.
        Endpoint = "endpoint",
        /// Control messages between routers.
        RouterControl = "router-control",
        /// Deliveries between routers.
        InterRouter = "inter-router",
        /// Deliveries between edge routers of a mesh.
        InterEdge = "inter-edge",
        /// Deliveries to an edge router.
        EdgeDownlink = "edge-downlink",
    }

    /// What an operator wants of a connection.
    AdminStatus {
        /// It may stay.
        Enabled = "enabled",
        /// It is to be closed.
        Deleted = "deleted",
    }

    /// What became of a connection or a link.
    OperStatus {
        /// In use.
        Up = "up",
        /// Not in use.
        Down = "down",
        /// A connection that is being closed.
        Closing = "closing",
        /// A link that is being taken down.
        Quiescing = "quiescing",
        /// A link that was taken down.
        Idle = "idle",
    }

    /// How far an auto-link has come.
    AutoLinkStatus {
        /// There is no connection for it.
        Inactive = "inactive",
        /// An attach was sent.
        Attaching = "attaching",
        /// The peer refused it.
        Failed = "failed",
        /// It is attached.
        Active = "active",
        /// It is being taken down.
        Quiescing = "quiescing",
        /// It was taken down.
        Idle = "idle",
    }

    /// A part of the router whose log can be set apart. Also the target of its trace events.
    LogModule {
        /// Start, stop, configuration.
        Router = "ROUTER",
        /// Addresses, links and deliveries.
        RouterCore = "ROUTER_CORE",
        /// Finding neighbours.
        RouterHello = "ROUTER_HELLO",
        /// Link states and paths.
        RouterLs = "ROUTER_LS",
        /// Addresses learned from other routers.
        RouterMa = "ROUTER_MA",
        /// Contents of messages.
        Message = "MESSAGE",
        /// Listeners and connections.
        Server = "SERVER",
        /// The management agent.
        Agent = "AGENT",
        /// AMQP connections, sessions and links.
        Container = "CONTAINER",
        /// Failures inside the router.
        Error = "ERROR",
        /// Decisions of the policy.
        Policy = "POLICY",
        /// The HTTP server.
        Http = "HTTP",
        /// Entities of listeners, connectors and TLS.
        ConnMgr = "CONN_MGR",
        /// Kept so that configurations of the reference load; nothing writes to it.
        Python = "PYTHON",
        /// Frames.
        Protocol = "PROTOCOL",
        /// TCP flows.
        TcpAdaptor = "TCP_ADAPTOR",
        /// HTTP exchanges.
        HttpAdaptor = "HTTP_ADAPTOR",
        /// Records of flows.
        FlowLog = "FLOW_LOG",
        /// Watched addresses.
        AddressWatch = "ADDRESS_WATCH",
        /// What was seen of HTTP/1.
        Http1Observer = "HTTP1_OBSERVER",
        /// What was seen of HTTP/2.
        Http2Observer = "HTTP2_OBSERVER",
        /// What was decoded of HTTP/2.
        Http2Decoder = "HTTP2_DECODER",
        /// Whatever the other modules do not set themselves.
        Default = "DEFAULT",
    }
}
