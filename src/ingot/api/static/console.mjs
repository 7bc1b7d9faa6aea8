// A serial console in a page: bytes go to and from the terminal, JSON texts say who has the keyboard.
import { Terminal } from "./xterm.mjs";

const state = document.getElementById("state");
const take = document.getElementById("take");
const serialBreak = document.getElementById("break");
const terminal = new Terminal({ cols: 100, rows: 32, scrollback: 5000, convertEol: false });
const frame = document.getElementById("terminal");
terminal.open(frame);

// Columns and rows are the machine's business, so the letters follow the window.
function fit() {
  const screen = frame.querySelector(".xterm-screen");
  const room = { wide: frame.clientWidth - 16, high: window.innerHeight - frame.offsetTop - 16 };
  const scale = Math.min((room.wide - 16) / screen.clientWidth, room.high / screen.clientHeight);
  terminal.options.fontSize = Math.max(6, Math.min(20, Math.floor(terminal.options.fontSize * scale)));
}
fit();
window.addEventListener("resize", fit);

const place = new URL(window.location.href);
place.protocol = place.protocol === "https:" ? "wss:" : "ws:";
place.pathname = place.pathname.replace(/\/$/, "") + "/socket";
const socket = new WebSocket(place);
socket.binaryType = "arraybuffer";
const encoder = new TextEncoder();
let writes = false;

socket.onopen = () => socket.send(JSON.stringify({ take: false }));
socket.onmessage = (event) => {
  if (typeof event.data !== "string") {
    terminal.write(new Uint8Array(event.data));
    return;
  }
  const told = JSON.parse(event.data);
  writes = told.writes;
  const others = told.watchers === 1 ? "nobody else watches" : `${told.watchers - 1} more watch`;
  state.textContent = told.problem ?? `${writes ? "You have the keyboard" : "Watching"}, ${others}`;
  take.disabled = writes;
  serialBreak.disabled = !writes;
};
socket.onclose = (event) => {
  const reason = (event.reason || "The connection is gone").replace(/\.$/, "");
  state.textContent = `Ended. ${reason}. Ask for the console again.`;
  take.disabled = serialBreak.disabled = true;
};
terminal.onData((text) => writes && socket.send(encoder.encode(text)));
terminal.onBinary((text) => writes && socket.send(Uint8Array.from(text, (letter) => letter.charCodeAt(0))));
take.onclick = () => socket.send(JSON.stringify({ take: true }));
serialBreak.onclick = () => socket.send(JSON.stringify({ break: true }));
