// Every page's script. Each module stands alone; the page works without any of them.
import "./theme.js";
import "./times.js";
import "./live.js";
import "./keys.js";
import "./confirm.js";
import "./palette.js";
import "./toasts.js";
import "./bulk.js";
