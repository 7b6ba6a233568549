"use strict";
(() => {
  const frames = JSON.parse(document.getElementById("frames").textContent);

  for (const example of document.querySelectorAll("[data-example]")) {
    const dials = [...example.querySelectorAll("input[type=range]")];
    const turn = () => {
      const frame = frames[example.dataset.example][dials.map((dial) => dial.value).join(" ")];
      example.querySelector(".screen").innerHTML = frame.html;
      example.querySelector(".command").textContent = frame.command;
      for (const dial of dials) {
        const shown = JSON.parse(dial.dataset.shown)[dial.value];
        dial.previousElementSibling.textContent = shown;
        dial.setAttribute("aria-valuetext", shown);
      }
    };
    for (const dial of dials) dial.addEventListener("input", turn);
  }

  for (const form of document.querySelectorAll("form[data-answer]")) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const given = Number(form.querySelector("input").value.replace(",", "."));
      const answer = Number(form.dataset.answer);
      const right = form.querySelector("input").value.trim() !== "" && Math.abs(given - answer) <= 0.01 * Math.abs(answer);
      const status = form.querySelector("[role=status]");
      status.textContent = right ? "Right." : "Not yet.";
      status.className = right ? "right" : "wrong";
      if (right) form.nextElementSibling.open = true;
    });
  }
})();
