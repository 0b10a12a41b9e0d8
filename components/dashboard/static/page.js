"use strict";
// The pages work without this script. It shows times in the viewer's zone and keeps opened tables open.
function localTimes(within) {
  for (const element of within.querySelectorAll("time[datetime]:not([data-local])")) {
    const moment = new Date(element.dateTime);
    if (!Number.isNaN(moment.getTime())) {
      element.title = element.textContent;
      element.textContent = moment.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
      element.dataset.local = "yes";
    }
  }
}
let open = [];
localTimes(document);
document.addEventListener("htmx:beforeSwap", () => {
  open = [...document.querySelectorAll("details[open][id]")].map((element) => element.id);
});
document.addEventListener("htmx:afterSettle", () => {
  localTimes(document);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
});
