"""What holds for the connections of every gRPC port. A name that grpc does not know changes nothing, silently."""

CONNECTIONS = (
    ("grpc.so_reuseport", 0),  # else a second process shares the port and nobody notices
    ("grpc.keepalive_time_ms", 60_000),  # a peer that is gone without a word is found, and its calls end
    ("grpc.keepalive_timeout_ms", 20_000),  # for the kernel's confirmation of what was sent
    ("grpc.http2.ping_timeout_ms", 20_000),  # for the ping's answer; without it, a minute, whatever stands above
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # clients that ping a quiet stream are no abuse
    ("grpc.max_connection_idle_ms", 300_000),
)
