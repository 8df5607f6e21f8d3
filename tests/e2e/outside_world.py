"""What lies outside a host in `outside.sh`: a web server that tells who asked, and a name server.

usage: outside_world.py ADDRESS
"""

import ipaddress
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer

from kaa.network.dns_message import NXDOMAIN, A, Record, answer, parse_query

NAME = "world.example"


class WhoAsks(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"{self.client_address[0]}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve_names(address: str) -> None:
    """Knows one name, over UDP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 53))
        while True:
            message, client = sock.recvfrom(4096)
            query = parse_query(message)
            data = ipaddress.IPv4Address(address).packed
            records = [Record(NAME, A, 60, data)] if (query.name, query.type) == (NAME, A) else []
            code = 0 if query.name == NAME else NXDOMAIN
            sock.sendto(answer(query, code, records, [], recursion=True, limit_bytes=512), client)


def serve(address: str) -> None:
    threading.Thread(target=serve_names, args=(address,), daemon=True).start()
    ThreadingTCPServer((address, 80), WhoAsks).serve_forever()


if __name__ == "__main__":
    serve(sys.argv[1])
