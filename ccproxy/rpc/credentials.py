"""TLS for gRPC, by the certificate that is in use when a client connects."""

import grpc

from ccproxy.config import Certificate
from ccproxy.tls import Tls


def live(tls: Tls) -> grpc.ServerCredentials:
    """Credentials that follow `tls`. Whether clients need a certificate cannot change later."""
    used = tls.certificate

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        """Is called at each handshake, in a thread of gRPC's; None keeps what was given last."""
        nonlocal used
        now = tls.certificate
        if now is used:
            return None
        used = now
        return _configuration(now)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(used),
        fetch,  # type: ignore[arg-type]  # its stub does not know of None
        tls.asks_clients,
    )


def _configuration(certificate: Certificate) -> grpc.ServerCertificateConfiguration:
    key = certificate.key.reveal().encode()
    return grpc.ssl_server_certificate_configuration(
        [(key, certificate.chain.encode())], certificate.client_ca.encode() or None
    )
