/*
 * Node 18 or newer, without any package: calls of smsclick by their names, over Redis (docs/protocol.md).
 *
 *   export CELERY_BROKER_URL=redis://127.0.0.1:6379/0
 *   node examples/node/shop.mjs notify 5551402211 'Tu pedido va en camino'
 *   node examples/node/shop.mjs remind 5551402211 'Tu cita es mañana' cita-7:reminder 2030-01-01T09:30:00-06:00
 *   node examples/node/shop.mjs cancel cita-7:reminder
 */
import { randomUUID } from "node:crypto";
import net from "node:net";
import tls from "node:tls";

/** Enqueues a message: phone, text, and whatever else enqueue takes; returns the call's id, the key of one without. */
export function enqueue(brokerUrl, message) {
  return call(brokerUrl, "smsclick.enqueue", message);
}

/** Withdraws a message that no worker has claimed. */
export function cancel(brokerUrl, key) {
  return call(brokerUrl, "smsclick.cancel", { key });
}

/** Puts a Celery message on the list of the queue `smsclick`. */
async function call(brokerUrl, task, keywords) {
  const id = randomUUID();
  const entry = {
    body: JSON.stringify([[], keywords, {}]),
    "content-type": "application/json",
    "content-encoding": "utf-8",
    headers: { task, id, lang: "node" },
    properties: {
      correlation_id: id,
      delivery_tag: id,
      delivery_info: { exchange: "", routing_key: "smsclick" },
      delivery_mode: 2,
      priority: 0,
    },
  };
  await redis(new URL(brokerUrl), [["LPUSH", "smsclick", JSON.stringify(entry)]]);
  return id;
}

/** Sends commands in Redis's protocol, after the log-in; every answer is one line. */
function redis(url, commands) {
  const name = decodeURIComponent(url.username);
  const password = decodeURIComponent(url.password);
  const logIn = password ? [["AUTH", ...(name ? [name] : []), password]] : [];
  const all = [...logIn, ["SELECT", url.pathname.slice(1) || "0"], ...commands];
  const place = { host: url.hostname, port: Number(url.port || 6379), servername: url.hostname };
  return new Promise((resolve, reject) => {
    const socket = url.protocol === "rediss:" ? tls.connect(place) : net.connect(place);
    let answers = "";
    socket.setEncoding("utf8").setTimeout(5000, () => socket.destroy(new Error("Redis does not answer")));
    socket.on("error", reject);
    socket.on("end", () => reject(new Error("Redis closed the connection")));
    socket.on("data", (data) => {
      answers += data;
      const lines = answers.split("\r\n").slice(0, -1);
      const refused = lines.find((line) => line.startsWith("-"));
      if (refused) reject(new Error(`Redis: ${refused.slice(1)}`));
      else if (lines.length === all.length) resolve();
      else return;
      socket.destroy();
    });
    for (const words of all) {
      const bulk = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
      socket.write(`*${words.length}\r\n${bulk.join("")}`);
    }
  });
}

const [what, first, text, key, sendAt] = process.argv.slice(2);
const broker = process.env.CELERY_BROKER_URL;
if (what === "cancel") console.log(await cancel(broker, first));
else if (what === "notify" || what === "remind")
  console.log(await enqueue(broker, { phone: first, text, key: key ?? null, send_at: sendAt ?? null }));
