//! The table: every type of entity that a configuration or management may hold, with all its attributes.
//!
//! A row reads `field "nameInFiles": Type = "default" [flags];`. Flags: `create` (may be set when the entity is created),
//! `update` (may be changed at run time), `required`, `ours` (not in the reference), `pending` (without effect in this version: a
//! warning in files, refused by management), `inert` (there is nothing here for it to act on). Everything else about entities is derived
//! from here.

use std::path::PathBuf;

use super::table::{Identity, entities};
use super::tags::*;
use super::value::{Map, Port, Properties, Secret};

entities! {
    /// The router itself.
    Router RouterEntity = "router" | "routers" {
        options(singleton = true, identity = Identity::Attribute("id"));
        operations(Read);
        /// The router's name in its network, unique there. Without one, a name is made up at start.
        id "id": Option<String> [create];
        /// Older name of the network's `tenantId`.
        van_id "vanId": Option<String> [create];
        /// Whether the router stands alone, is a full member of a network, or a leaf of one.
        mode "mode": Mode = "standalone" [create];
        /// Seconds between two hellos to a neighbour.
        hello_interval_seconds "helloIntervalSeconds": u32 = "1" [create];
        /// Seconds without a hello after which a neighbour is taken for lost.
        hello_max_age_seconds "helloMaxAgeSeconds": u32 = "3" [create];
        /// Milliseconds between two hellos to a neighbour, instead of `helloIntervalSeconds`: for less than a second. Neighbours are
        /// told, so that they notice silence sooner, if they are of this make.
        hello_interval_milliseconds "helloIntervalMilliseconds": Option<u32> [create ours];
        /// Milliseconds without a hello after which a neighbour is taken for lost, instead of `helloMaxAgeSeconds`. A neighbour has two
        /// of its own intervals at least, which is 2,000 for one that does not say how long they are.
        hello_max_age_milliseconds "helloMaxAgeMilliseconds": Option<u32> [create ours];
        /// Seconds between two announcements of this router's state while the network is stable.
        ra_interval_seconds "raIntervalSeconds": u32 = "30" [create];
        /// Seconds between two announcements of this router's state while the network changes.
        ra_interval_flux_seconds "raIntervalFluxSeconds": u32 = "4" [create];
        /// Seconds after which the state of a router that was not heard of is forgotten.
        remote_ls_max_age_seconds "remoteLsMaxAgeSeconds": u32 = "60" [create];
        /// Seconds for which the addresses of a router that became unreachable are kept.
        unreachable_holdoff_seconds "unreachableHoldoffSeconds": u32 = "1" [create];
        /// Which of an edge router's connections to interior routers are in use: one, while the others stand by, or all that lead to routers
        /// of this make, one to each. Clients' links are spread over them.
        active_uplinks "activeUplinks": ActiveUplinks = "one" [create ours];
        /// How many worker threads carry traffic. `spanway run` uses one per core when this is not set.
        worker_threads "workerThreads": u32 = "4" [create];
        /// Where the reference writes what it leaked when it ends. The file is never written.
        debug_dump_file "debugDumpFile": Option<PathBuf> [create inert];
        /// The directory with the settings of the system's SASL library (Cyrus, `libsasl2`), which checks users of listeners for all
        /// mechanisms but `ANONYMOUS` and `EXTERNAL`. The library's own default if unset.
        sasl_config_dir "saslConfigDir": Option<PathBuf> [create];
        /// The name of the file there, without `.conf`.
        sasl_config_name "saslConfigName": String = "skrouterd" [create];
        /// Log times are UTC instead of local time.
        timestamps_in_utc "timestampsInUTC": Option<bool> [create];
        /// The format of log times, in the conversions of `strftime`.
        timestamp_format "timestampFormat": Option<String> [create];
        /// How deliveries to addresses are distributed that no `address` entity matches.
        default_distribution "defaultDistribution": Distribution = "balanced" [create];
        /// Text of your own, shown by management.
        metadata "metadata": Option<String> [create];
        /// How many connections for data to make to each neighbour: a number, or `auto`.
        data_connection_count "dataConnectionCount": String = "auto" [create];
        /// Deleting a `tcpListener` or `tcpConnector` cuts its open flows; otherwise they may end by themselves.
        drop_tcp_connections "dropTcpConnections": bool = "true" [create];
        /// Seconds that work in flight may take to finish after SIGTERM before connections are closed.
        drain_timeout_seconds "drainTimeoutSeconds": u32 = "30" [create ours];
    }
    status {
        /// Always 0.
        "area": String;
        /// The version of the router.
        "version": String;
        /// The name of the machine it runs on.
        "hostName": String;
    }

    /// What the network is to other networks.
    Network NetworkEntity = "network" | "networks" {
        options(singleton = true, identity = Identity::Counter);
        operations(Read Update);
        /// The name of this network among linked networks.
        network_id "networkId": Option<String> [create update];
        /// A prefix that keeps the addresses of this tenant's TCP services apart from those of others.
        tenant_id "tenantId": Option<String> [create];
    }
    status {}

    /// Where the router runs. Only shown, never acted upon.
    Site SiteEntity = "site" | "sites" {
        options(identity = Identity::Counter);
        operations(Read);
        /// The place.
        location "location": Option<String> [create];
        /// Who runs the machines.
        provider "provider": Option<String> [create];
        /// The version of the software that set the site up.
        version "version": Option<String> [create];
        /// The kind of platform: `kubernetes`, `podman`, `linux`.
        platform "platform": Option<String> [create];
        /// The namespace within the platform.
        namespace "namespace": Option<String> [create];
    }
    status {}

    /// Certificates and rules for TLS, used by listeners and connectors by name.
    SslProfile SslProfileEntity = "sslProfile" | "sslProfiles" {
        options(identity = Identity::Attribute("name"));
        operations(Read Create Update Delete);
        /// Allowed cipher suites, as OpenSSL writes lists of them.
        ciphers "ciphers": Option<String> [create update];
        /// Allowed versions, separated by blanks: `TLSv1.2 TLSv1.3`.
        protocols "protocols": Option<String> [create update];
        /// Certificates (PEM) of the authorities whose signature on a peer's certificate is trusted.
        ca_cert_file "caCertFile": Option<PathBuf> [create update];
        /// The router's certificate chain (PEM).
        cert_file "certFile": Option<PathBuf> [create update];
        /// The private key (PEM) for `certFile`.
        private_key_file "privateKeyFile": Option<PathBuf> [create update];
        /// The password of the private key: plain, or `env:NAME`, `file:PATH`, `pass:TEXT`.
        password "password": Option<Secret> [create update];
        /// Which parts of a client's certificate form its user name: letters of `c s l o u n 1 2 5`.
        uid_format "uidFormat": Option<String> [create];
        /// A JSON file, one object, with names for users: what `uidFormat` makes of a certificate, and what that user is called instead.
        uid_name_mapping_file "uidNameMappingFile": Option<PathBuf> [create];
        /// The version of the credentials, which connectors tell other routers: connections with a higher one take over.
        ordinal "ordinal": Option<u32> [create update];
        /// Connections that connectors made to other routers with older credentials are closed. At most `ordinal`.
        oldest_valid_ordinal "oldestValidOrdinal": Option<u32> [create update];
    }
    status {}

    /// An HTTP proxy that connectors go through.
    ProxyProfile ProxyProfileEntity = "proxyProfile" | "proxyProfiles" {
        options(identity = Identity::Attribute("name"));
        operations(Read Create Update Delete);
        /// The proxy's host.
        host "host": Option<String> [create update];
        /// The proxy's port.
        port "port": Option<String> [create update];
        /// The user name for the proxy.
        username "username": Option<String> [create update];
        /// The password for the proxy: plain, or `env:NAME`, `file:PATH`, `pass:TEXT`.
        password "password": Option<Secret> [create update];
    }
    status {}

    /// A socket on which the router accepts AMQP connections.
    Listener ListenerEntity = "listener" | "listeners" {
        options(identity = Identity::HostPortName);
        operations(Read Create Update Delete);
        /// The address to listen on, or a name of one. Empty: all addresses, IPv4 and IPv6.
        host "host": String = "" [create];
        /// The port: a number, `amqp` (5672) or `amqps` (5671). 0 takes a free one, which the log shows.
        port "port": Port = "amqp" [create];
        /// Listen on addresses of this family only.
        socket_address_family "socketAddressFamily": Option<SocketAddressFamily> [create];
        /// Who connects here.
        role "role": Role = "normal" [create];
        /// The cost of links to routers that connect here.
        cost "cost": i64 = "1" [create update];
        /// The `sslProfile` that makes this a TLS listener.
        ssl_profile "sslProfile": Option<String> [create];
        /// SASL mechanisms to offer, separated by blanks.
        sasl_mechanisms "saslMechanisms": Option<String> [create];
        /// Peers have to authenticate themselves.
        authenticate_peer "authenticatePeer": bool = "no" [create];
        /// Connections without encryption are refused.
        require_encryption "requireEncryption": bool = "no" [create];
        /// Connections without TLS are refused; otherwise a listener with an `sslProfile` takes both.
        require_ssl "requireSsl": bool = "no" [create];
        /// The largest frame that peers may send, in bytes: 512 to 2147483647; 0 means 16384.
        max_frame_size "maxFrameSize": i64 = "16384" [create];
        /// How many sessions a connection may have: 1 to 32768; 0 means 32768.
        max_sessions "maxSessions": i64 = "32768" [create];
        /// The session window in frames: 2 to 2147483647. Windows are measured in bytes here, and grow with need.
        max_session_frames "maxSessionFrames": Option<i64> [create inert];
        /// Seconds without a frame after which a connection is given up; 0 means never.
        idle_timeout_seconds "idleTimeoutSeconds": u32 = "16" [create];
        /// Seconds that a peer may take from connecting to its open frame; 0 means any time.
        initial_handshake_timeout_seconds "initialHandshakeTimeoutSeconds": u32 = "0" [create];
        /// Whether router annotations are taken off what clients send (`in`), off what they receive (`out`), or both. Those of a client that are
        /// not taken off are believed: they say where the message goes, and where it has been. Between routers they always stay.
        strip_annotations "stripAnnotations": StripAnnotations = "both" [create];
        /// Credit for a sending client; without it, adapted to the rate.
        link_capacity "linkCapacity": Option<u32> [create];
        /// Other places that clients may go to when this connection is lost, as `host:port` or `amqps://host:port`, separated by commas or blanks.
        failover_urls "failoverUrls": Option<String> [create];
        /// An HTTP listener answers `/healthz`.
        healthz "healthz": bool = "yes" [create];
        /// An HTTP listener answers `/metrics`.
        metrics "metrics": bool = "yes" [create];
        /// An HTTP listener takes AMQP over WebSocket.
        websockets "websockets": bool = "yes" [create];
        /// Origins whose pages may use the WebSockets of an HTTP listener, such as `https://app.example`, separated by blanks; `*` for all.
        /// Pages that have the listener's own host and port may always, and programs that are no browsers.
        websocket_origins "websocketOrigins": String = "" [create ours];
        /// This is an HTTP listener.
        http "http": bool = "no" [create];
        /// The directory that an HTTP listener serves files from; setting it implies `http`.
        http_root_dir "httpRootDir": Option<PathBuf> [create];
        /// Which parts of messages are logged: `none`, `all`, or names of message properties.
        message_logging_components "messageLoggingComponents": String = "none" [create pending];
        /// The `vhost` whose rules apply here, instead of the one that a client asks for.
        policy_vhost "policyVhost": Option<String> [create];
        /// Properties of your own for the open frames that the router sends.
        open_properties "openProperties": Option<Properties> [create];
    }
    status {}

    /// A place that the router makes an AMQP connection to, again and again until it succeeds.
    Connector ConnectorEntity = "connector" | "connectors" {
        options(identity = Identity::HostPortName);
        operations(Read Create Update Delete);
        /// The host to connect to.
        host "host": String = "127.0.0.1" [create];
        /// The port to connect to: a number, `amqp` (5672) or `amqps` (5671).
        port "port": Port = "amqp" [create];
        /// Use addresses of this family only.
        socket_address_family "socketAddressFamily": Option<SocketAddressFamily> [create];
        /// Who is connected to.
        role "role": Role = "normal" [create];
        /// The cost of the link to the router that is connected to.
        cost "cost": i64 = "1" [create update];
        /// The `sslProfile` that makes this a TLS connection.
        ssl_profile "sslProfile": Option<String> [create];
        /// The `proxyProfile` of the HTTP proxy to go through.
        proxy_profile "proxyProfile": Option<String> [create];
        /// SASL mechanisms that may be used, separated by blanks.
        sasl_mechanisms "saslMechanisms": Option<String> [create];
        /// Follow redirections. The reference does not do so either.
        allow_redirect "allowRedirect": bool = "yes" [create inert];
        /// The largest frame that the peer may send, in bytes: 512 to 2147483647; 0 means 16384.
        max_frame_size "maxFrameSize": i64 = "16384" [create];
        /// How many sessions the connection may have: 1 to 32768; 0 means 32768.
        max_sessions "maxSessions": i64 = "32768" [create];
        /// The session window in frames: 2 to 2147483647. Windows are measured in bytes here, and grow with need.
        max_session_frames "maxSessionFrames": Option<i64> [create inert];
        /// Seconds without a frame after which the connection is given up; 0 means never.
        idle_timeout_seconds "idleTimeoutSeconds": u32 = "16" [create];
        /// As that of listeners, for connectors to containers.
        strip_annotations "stripAnnotations": StripAnnotations = "both" [create];
        /// Credit for a sending peer; without it, adapted to the rate.
        link_capacity "linkCapacity": Option<u32> [create];
        /// The peer's certificate has to be for the host that is connected to.
        verify_hostname "verifyHostname": bool = "yes" [create];
        /// The user name for SASL.
        sasl_username "saslUsername": Option<String> [create];
        /// The password for SASL: plain, or `env:NAME`, `file:PATH`, `pass:TEXT`.
        sasl_password "saslPassword": Option<Secret> [create];
        /// Which parts of messages are logged: `none`, `all`, or names of message properties.
        message_logging_components "messageLoggingComponents": String = "none" [create pending];
        /// The `vhost` whose group `$connector` says what the peer may do.
        policy_vhost "policyVhost": Option<String> [create];
        /// Properties of your own for the open frame that the router sends.
        open_properties "openProperties": Option<Properties> [create];
    }
    status {
        /// Other places that the peer told us to go to when this one is lost.
        "failoverUrls": String;
        /// `SUCCESS`, or `CONNECTING`, also while it waits for its next try.
        "connectionStatus": String;
        /// What happened last, in words.
        "connectionMsg": String;
    }

    /// A socket on which the router accepts TCP connections for an address.
    TcpListener TcpListenerEntity = "tcpListener" | "tcpListeners" {
        options(identity = Identity::HostPortName);
        operations(Read Create Update Delete);
        /// The address that connections are for. Left out when `multiAddressStrategy` is set.
        address "address": Option<String> [create];
        /// The IP address to listen on, or a name of one. Empty: all addresses, IPv4 and IPv6.
        host "host": String = "" [create];
        /// How many connections may wait to be accepted; 0 means as many as the system allows.
        backlog "backlog": u32 = "0" [create];
        /// The port.
        port "port": Port [create required];
        /// How one of the `listenerAddress` entities is picked for a connection.
        multi_address_strategy "multiAddressStrategy": MultiAddressStrategy = "none" [create];
        /// The site that records of flows name.
        site_id "siteId": Option<String> [create inert];
        /// The `sslProfile` that makes this a TLS listener.
        ssl_profile "sslProfile": Option<String> [create];
        /// Clients have to present a certificate.
        authenticate_peer "authenticatePeer": bool = "no" [create];
        /// Which application protocol is looked for in new connections, for records of the requests in them. Only while somebody collects records.
        observer "observer": Observer = "auto" [create update];
        /// Listen on addresses of this family only.
        socket_address_family "socketAddressFamily": Option<SocketAddressFamily> [create ours];
        /// Seconds without a byte in either direction after which a connection is reset; 0 means never.
        idle_timeout_seconds "idleTimeoutSeconds": u32 = "0" [create ours];
        /// Seconds that a connection may stay half-closed before it is reset; 0 means any time.
        half_open_timeout_seconds "halfOpenTimeoutSeconds": u32 = "0" [create ours];
        /// Seconds of silence after which the system starts to probe whether the client is alive; 0 means never.
        keep_alive_seconds "keepAliveSeconds": u32 = "0" [create ours];
        /// Which PROXY protocol header connections begin with. Set it only where every client is a proxy you trust.
        proxy_protocol "proxyProtocol": ProxyProtocolAccept = "none" [create ours];
        /// A TLS connection that ends without close_notify is reset instead of taken for ended.
        require_close_notify "requireCloseNotify": bool = "no" [create ours];
        /// What the service catalogue tells others about it: texts by name.
        labels "labels": Option<Map> [create ours];
    }
    status {
        /// How many connections were accepted.
        "connectionsOpened": i64;
        /// How many of them ended.
        "connectionsClosed": i64;
        /// Bytes received from clients.
        "bytesIn": i64;
        /// Bytes sent to clients.
        "bytesOut": i64;
        /// `up` while the socket is open, which it is while somebody serves the address.
        "operStatus": UpDown;
        /// What happened last, in words.
        "connectionMsg": String;
    }

    /// A TCP server of an address: the router connects to it for every connection that comes for the address.
    TcpConnector TcpConnectorEntity = "tcpConnector" | "tcpConnectors" {
        options(identity = Identity::HostPortName);
        operations(Read Create Delete);
        /// The address that the server serves.
        address "address": Option<String> [create];
        /// The server's host.
        host "host": String = "127.0.0.1" [create];
        /// The server's port.
        port "port": Port [create required];
        /// The site that records of flows name.
        site_id "siteId": Option<String> [create inert];
        /// The process that records of flows name.
        process_id "processId": Option<String> [create inert];
        /// The `sslProfile` that makes connections TLS.
        ssl_profile "sslProfile": Option<String> [create];
        /// The server's certificate has to be for the host that is connected to.
        verify_hostname "verifyHostname": bool = "yes" [create];
        /// Use addresses of this family only.
        socket_address_family "socketAddressFamily": Option<SocketAddressFamily> [create ours];
        /// Seconds that connecting may take before another server is tried; 0 leaves it to the system.
        connect_timeout_seconds "connectTimeoutSeconds": u32 = "10" [create ours];
        /// Seconds of silence after which the system starts to probe whether the server is alive; 0 means never.
        keep_alive_seconds "keepAliveSeconds": u32 = "0" [create ours];
        /// Which PROXY protocol header the server is sent, to learn the client's address.
        proxy_protocol "proxyProtocol": ProxyProtocolSend = "none" [create ours];
        /// A TLS connection that ends without close_notify is reset instead of taken for ended.
        require_close_notify "requireCloseNotify": bool = "no" [create ours];
        /// What the service catalogue tells others about it: texts by name.
        labels "labels": Option<Map> [create ours];
    }
    status {
        /// How many connections were made.
        "connectionsOpened": i64;
        /// How many of them ended.
        "connectionsClosed": i64;
        /// Bytes received from the server.
        "bytesIn": i64;
        /// Bytes sent to the server.
        "bytesOut": i64;
    }

    /// One of several addresses of a TCP listener.
    ListenerAddress ListenerAddressEntity = "listenerAddress" | "listenerAddresses" {
        options(identity = Identity::ListenerAddressName);
        operations(Read Create Delete);
        /// The address.
        address "address": String [create required];
        /// Its priority or weight, above 0.
        value "value": i64 [create required];
        /// The name of the TCP listener.
        listener "listener": String [create required];
    }
    status {
        /// How many connections went to the address.
        "connectionsOpened": i64;
    }

    /// How deliveries to some addresses are treated.
    Address AddressEntity = "router.config.address" | "addresses" alias "address" {
        options(identity = Identity::BareCounter);
        operations(Read Create Delete);
        /// Addresses that begin with these tokens: the same as the pattern `PREFIX/#`.
        prefix "prefix": Option<String> [create];
        /// Addresses that match: tokens between `/` or `.`; `*` is any one token, `#` any number of them.
        pattern "pattern": Option<String> [create];
        /// How deliveries are distributed.
        distribution "distribution": Distribution = "balanced" [create];
        /// The priority of deliveries, 0 to 9, instead of the one in their header.
        priority "priority": Option<i64> [create];
        /// What the service catalogue tells others about the address while it has consumers here: texts by name.
        labels "labels": Option<Map> [create ours];
    }
    status {}

    /// A link that the router makes by itself, to or from a container.
    AutoLink AutoLinkEntity = "router.config.autoLink" | "autoLinks" alias "autoLink" {
        options(identity = Identity::BareCounter);
        operations(Read Create Delete);
        /// The address here. Without one, messages that come say themselves where they go.
        address "address": Option<String> [create];
        /// Whether the router receives or sends.
        direction "direction": Direction [create required];
        /// The container-id of the peer to link to, on connections of role `route-container` or `inter-network`.
        container_id "containerId": Option<String> [create];
        /// The name of the listener or connector whose peer to link to, of role `route-container` or `inter-network`.
        connection "connection": Option<String> [create];
        /// The address as the container knows it, if it has another name there.
        external_address "externalAddress": Option<String> [create];
    }
    status {
        /// The link.
        "linkRef": String;
        /// How far it has come.
        "operStatus": AutoLinkStatus;
        /// Why it failed last.
        "lastError": String;
    }

    /// What a part of the router logs, and where.
    Log LogEntity = "log" | "logs" alias "logging" {
        options(identity = Identity::Attribute("module"));
        operations(Read Update);
        /// The part of the router; `DEFAULT` stands for all that have no setting of their own.
        module "module": LogModule [create required];
        /// Levels, separated by commas: `debug`, `info`, `warning`, `error`, `critical`, `none`; `+` adds all above.
        enable "enable": Option<String> [create update];
        /// Lines begin with the time.
        include_timestamp "includeTimestamp": Option<bool> [create update];
        /// Lines end with the place in the source.
        include_source "includeSource": Option<bool> [create update];
        /// `stderr`, `stdout`, `syslog`, or a file that is appended to.
        output_file "outputFile": Option<String> [create update];
    }
    status {}

    /// Limits for clients, and whether `vhost` rules apply to them.
    Policy PolicyEntity = "policy" | "policies" {
        options(singleton = true, identity = Identity::Counter);
        operations(Read);
        /// How many connections AMQP listeners take, those of other routers not counted.
        max_connections "maxConnections": u32 = "65535" [create];
        /// The largest message that a client may send, in bytes, unless its vhost or group says otherwise; 0 means any size.
        max_message_size "maxMessageSize": i64 = "0" [create];
        /// `vhost` rules apply: who is allowed by none is refused.
        enable_vhost_policy "enableVhostPolicy": bool = "no" [create];
        /// Names of vhosts are patterns of tokens, separated by `.` or `/`: `*` stands for one, `#` for any number of them.
        enable_vhost_name_patterns "enableVhostNamePatterns": bool = "no" [create];
        /// A directory of JSON files with more vhosts.
        policy_dir "policyDir": PathBuf = "" [create];
        /// The vhost for connections to hosts that have none; empty: they are refused.
        default_vhost "defaultVhost": String = "$default" [create];
    }
    status {
        /// How many connections were decided upon.
        "connectionsProcessed": i64;
        /// How many of them were refused.
        "connectionsDenied": i64;
        /// How many are open.
        "connectionsCurrent": i64;
        /// How many links were refused.
        "linksDenied": i64;
        /// How many messages were refused for their size.
        "maxMessageSizeDenied": i64;
        /// How much was refused in all.
        "totalDenials": i64;
    }

    /// What the users of a host name may do.
    Vhost VhostEntity = "vhost" | "vhosts" {
        options(identity = Identity::Attribute("hostname"));
        operations(Read Create Update Delete);
        /// The host name that clients ask for in their open frame.
        hostname "hostname": String [create required];
        /// Other names of the host, separated by commas.
        aliases "aliases": Option<String> [create update];
        /// How many connections it may have.
        max_connections "maxConnections": u32 = "65535" [create update];
        /// The largest message, in bytes, unless a group says otherwise; 0 means any size.
        max_message_size "maxMessageSize": Option<i64> [create update];
        /// How many connections a user may have.
        max_connections_per_user "maxConnectionsPerUser": u32 = "65535" [create update];
        /// How many connections may come from a host.
        max_connections_per_host "maxConnectionsPerHost": u32 = "65535" [create update];
        /// Users that are in no group may do what group `$default` may.
        allow_unknown_user "allowUnknownUser": bool = "no" [create update];
        /// What each group of users may do: a map from names of groups to maps with attributes of `vhostUserGroupSettings`. `$default` is for
        /// users that are in no group, `$connector` for the peers of connectors with this `policyVhost`.
        groups "groups": Option<Map> [create update];
    }
    status {}

    /// The port for operators: the console, `/livez`, `/readyz`, `/metrics`, `/topology`.
    Admin AdminEntity = "admin" | "admins" {
        options(ours = true, identity = Identity::HostPortName);
        operations(Read);
        /// The address to listen on. The port shows much and asks nobody who they are: keep it on a private address. On
        /// loopback it refuses requests whose `Host` is neither an address nor `localhost` nor this.
        host "host": String = "127.0.0.1" [create ours];
        /// The port.
        port "port": Port = "5680" [create ours];
    }
    status {}

    /// The OpenTelemetry collector that metrics and spans are pushed to, with OTLP over HTTP. There may be one of it.
    Otlp OtlpEntity = "otlp" | "otlps" {
        options(ours = true, at_most_one = true);
        operations(Read);
        /// The collector: `http://HOST:PORT`, or `https://HOST:PORT`. A path is put in front of `/v1/metrics` and
        /// `/v1/traces`.
        endpoint "endpoint": String [create required ours];
        /// Push what `/metrics` shows.
        metrics "metrics": bool = "yes" [create ours];
        /// Seconds between two pushes of metrics.
        metrics_interval_seconds "metricsIntervalSeconds": u32 = "60" [create ours];
        /// Push a span for each message whose application properties carry a W3C `traceparent` with the flag `sampled`.
        spans "spans": bool = "yes" [create ours];
        /// Headers for the collector, such as those that say who pushes: `NAME=VALUE`, separated by commas, with `%XX` for other bytes.
        headers "headers": Option<Secret> [create ours];
        /// The `sslProfile` for `https`. Without one, the authorities of the system are trusted.
        ssl_profile "sslProfile": Option<String> [create ours];
        /// The name of this service (`service.name`).
        service_name "serviceName": String = "spanway" [create ours];
        /// What else the collector is told of this router: `NAME=VALUE`, separated by commas, with `%XX` for other bytes.
        resource_attributes "resourceAttributes": Option<String> [create ours];
    }
    status {}
}
