"use strict";
(() => {
  const cards = [...document.querySelectorAll(".card")];
  const holder = document.getElementById("cards");
  const find = document.getElementById("find");
  const sort = document.getElementById("sort");
  const judged = document.getElementById("judged");
  const count = document.getElementById("count");

  const arrange = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = judged ? judged.value : "";
    let shown = 0;
    for (const card of cards) {
      const prompt = card.querySelector("h3").textContent.toLowerCase();
      const fits = words.every((word) => prompt.includes(word)) && (!wanted || card.dataset.correct === wanted);
      card.hidden = !fits;
      shown += fits;
    }
    const down = sort.value.startsWith("-");
    const key = down ? sort.value.slice(1) : sort.value;
    // cards without the number go last either way
    const value = (card) => card.dataset[key] === undefined ? Infinity : (down ? -1 : 1) * Number(card.dataset[key]);
    holder.append(...[...cards].sort((a, b) => value(a) - value(b) || a.dataset.number - b.dataset.number));
    count.value = shown === cards.length ? `${shown} prompt${shown === 1 ? "" : "s"}` : `${shown} of ${cards.length} prompts`;
  };
  for (const tool of [find, sort, judged]) if (tool) tool.addEventListener("input", arrange);
  document.getElementById("tools").addEventListener("submit", (event) => event.preventDefault());

  for (const tree of document.querySelectorAll(".tree")) {
    const description = tree.nextElementSibling;
    const nodes = [...tree.querySelectorAll(".node")];
    const at = new Map(nodes.map((node) => [`${node.dataset.c},${node.dataset.r}`, node]));
    let seen = null;
    const see = (node) => {
      if (seen) seen.classList.remove("seen");
      seen = node;
      node.classList.add("seen");
      description.textContent = node.querySelector("title").textContent;
    };
    tree.addEventListener("pointerover", (event) => {
      const node = event.target.closest(".node");
      if (node) see(node);
    });
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    tree.addEventListener("keydown", (event) => {
      const move = moves[event.key];
      if (!move) return;
      event.preventDefault();
      const [c, r] = seen ? [Number(seen.dataset.c), Number(seen.dataset.r)] : [-move[0], -move[1]];
      const next = at.get(`${c + move[0]},${r + move[1]}`);
      if (!next) return;
      see(next);
      next.scrollIntoView({ block: "nearest", inline: "nearest" });
    });
  }
})();
