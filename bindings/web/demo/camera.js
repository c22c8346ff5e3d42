// camera.js - what the camera sees, answered as fast as the model can; the last picture is kept.
import { compute, show } from "./compute.js";
import { $, showProblem } from "./elements.js";
import { remember, showStrip } from "./pictures.js";
import { now } from "./state.js";

export async function startCamera() {
    showProblem("");
    const video = $("video");
    try {
        now.camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch (error) {
        return showProblem(`The camera cannot be used: ${error.message}`);
    }
    const own = now.camera;
    video.srcObject = own;
    video.hidden = false;
    $("camera").setAttribute("aria-pressed", "true");
    $("camera").textContent = "Keep this picture";
    await video.play().catch(() => {});
    const picture = { name: "Camera" };
    while (now.camera === own) {
        const last = picture.display;
        Object.assign(picture, { display: await createImageBitmap(video), light: null, width: video.videoWidth, height: video.videoHeight });
        now.models[0].picture = null;
        now.asked = [{ picture, points: new Map() }];
        await compute();
        last?.close();
        await new Promise(requestAnimationFrame);
    }
    remember([picture]);
    if (now.asked.length === 1 && now.asked[0].picture === picture) // and not one that was chosen meanwhile
        await show([picture]);
    else
        showStrip();
}

export function stopCamera() {
    if (!now.camera)
        return;
    now.camera.getTracks().forEach((track) => track.stop());
    now.camera = null;
    $("video").hidden = true;
    $("video").srcObject = null;
    $("camera").setAttribute("aria-pressed", "false");
    $("camera").textContent = "Use the camera";
}
