"""A function of one's own in another language: names of products under product:<sku>. The poller needs POLLER_FENCE=off and, since this
says nothing of its keys, REPLICA IDENTITY FULL for products and POLLER_LANES=1. A batch may come twice; an exception is no 200, so it does."""
import http.server, json, os, socket, urllib.parse

def redis(*commands):
    url = urllib.parse.urlsplit(os.environ["REDIS_URL"])
    with socket.create_connection((url.hostname, url.port or 6379)) as s, s.makefile("rb") as answers:
        login = [("AUTH", url.username or "default", url.password)] if url.password else []
        for words in [*login, ("SELECT", url.path.strip("/") or "0"), *commands]:
            words = [str(w).encode() for w in words]
            s.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
            if (answer := answers.readline())[:1] in (b"-", b""):
                raise RuntimeError(f"Redis said {answer}")

class Function(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        batch, commands = json.loads(self.rfile.read(int(self.headers["Content-Length"]))), []
        for m in batch["messages"]:
            row, old = m["record"], m["changes"] or {}
            if m["action"] != "insert" and m["action"] != "read":
                commands.append(("DEL", "product:" + old.get("sku", row["sku"])))
            if m["action"] != "delete":
                commands.append(("SET", "product:" + row["sku"], row["name"]))
        redis(*commands)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass  # not a line for each request

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Function).serve_forever()
