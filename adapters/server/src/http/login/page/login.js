// The secret stands behind the #, which no browser sends. It leaves this page in the body of two
// requests alone: one that asks who would log in, and one that the button sends.
const question = document.getElementById("question");
const enter = document.getElementById("enter");
const secret = location.hash.slice(1);

// Neither the address bar nor the history keeps the secret.
history.replaceState(null, "", location.pathname);

async function send(path) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ secret }),
    cache: "no-store",
    redirect: "error",
  });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error.message);
  return body;
}

function refuse(error) {
  question.textContent = error.message;
  enter.hidden = true;
}

async function ask() {
  if (!secret) {
    throw new Error("This page is opened by a link: make one at the gateway, with `handfast login`.");
  }
  const { role, gateway } = await send("login/look");
  question.textContent = `Log in as ${role} at ${gateway}?`;
  enter.hidden = false;
  enter.focus();
}

enter.addEventListener("click", async () => {
  enter.disabled = true;
  try {
    await send("login");
    location.replace("admin");
  } catch (error) {
    refuse(error);
  }
});

ask().catch(refuse);
