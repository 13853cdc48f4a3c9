// The page works without this file. It only makes some things better; nothing is loaded from elsewhere.
"use strict";
(() => {
  const local = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  if (location.protocol === "http:" && !local) {
    for (const each of document.querySelectorAll("[data-insecure]")) each.hidden = false;
  }
})();
(() => {
  const place = document.querySelector("[data-stream]");
  if (!place || !window.EventSource) return;
  // The server's own template made this text, with everything escaped.
  new EventSource(place.dataset.stream).addEventListener("figures", (event) => {
    if (!place.contains(document.activeElement)) place.innerHTML = event.data;
  });
})();
