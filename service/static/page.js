// Keeps the page true: puts in place what the server says has changed, and turns it grey when nobody says anything.
// The words are all the server's. Without this script the page asks for itself anew (room.html).
"use strict";

const STALE_MS = 5000; // the same as rooms.STALE_S
const AGAIN_MS = 2000;

const room = document.getElementById("room");
const lost = document.getElementById("lost");
let heardAt = Date.now();
let title = document.title;

function heard() {
  heardAt = Date.now();
  judge();
}

function judge() {
  const silence = Math.abs(Date.now() - heardAt); // also across a clock that was set, and a computer that slept
  const isLost = silence > STALE_MS;
  document.documentElement.classList.toggle("is-lost", isLost);
  document.title = isLost ? lost.dataset.title : title;
  const text = isLost ? lost.dataset.text.replace("{seconds}", Math.round(silence / 1000)) : "";
  if (lost.firstChild?.data !== text) {
    lost.textContent = text;
  }
}

function follow() {
  const source = new EventSource(room.dataset.live);
  source.addEventListener("tone", (event) => { room.dataset.tone = event.data; });
  source.addEventListener("title", (event) => { title = event.data; });
  for (const part of document.querySelectorAll("[data-part]")) {
    source.addEventListener(part.dataset.part, (event) => {
      if (part.innerHTML.trim() !== event.data.trim()) {
        part.innerHTML = event.data;
      }
    });
  }
  source.addEventListener("beat", heard);
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) { // refused, not merely cut: the browser does not come back itself
      setTimeout(follow, AGAIN_MS);
    }
  });
}

setInterval(judge, 1000);
follow();
