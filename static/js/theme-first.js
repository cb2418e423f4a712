// Before the first paint, so that a chosen theme never flashes in the other one. Without a choice the system decides.
document.documentElement.classList.add("js");
if (localStorage.getItem("theme")) document.documentElement.dataset.bsTheme = localStorage.getItem("theme");
