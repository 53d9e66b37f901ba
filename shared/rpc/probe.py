"""Ask a server for its health: `python -m shared.rpc.probe HOST:PORT [SERVICE]` exits with 0 when it serves."""

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc


def main() -> int:
    """Return 0 when the service serves, 1 when it does not or cannot be reached, 2 on wrong usage."""
    if len(sys.argv) not in {2, 3}:
        sys.stderr.write("Usage: python -m shared.rpc.probe HOST:PORT [SERVICE]\n")
        return 2
    request = health_pb2.HealthCheckRequest(service=sys.argv[2] if len(sys.argv) == 3 else "")
    with grpc.insecure_channel(sys.argv[1]) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=3)
        except grpc.RpcError as error:
            sys.stderr.write(f"{error.code().name}\n")
            return 1
    sys.stdout.write(f"{health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}\n")
    return 0 if answer.status == health_pb2.HealthCheckResponse.SERVING else 1


if __name__ == "__main__":
    sys.exit(main())
