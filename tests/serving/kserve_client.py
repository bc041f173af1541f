"""All calls of KServe's REST client to a server; run by a Python that has it, prints what came back as JSON.

Usage: python kserve_client.py URL TENSORS.npz
"""

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput


def request(blobs, *, binary_in, binary_out):
    inputs = []
    for name, values in blobs.items():
        tensor = InferInput(name, list(values.shape), "FP32" if "weight" in name else "INT64")
        tensor.set_data_from_numpy(values, binary_data=binary_in)
        inputs.append(tensor)
    outputs = [RequestedOutput(name, {"binary_data": binary_out}) for name in ("top_item", "probability")]
    return InferRequest("shop", inputs, request_id="r7", request_outputs=outputs)


async def main(url, blobs):
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    found = {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "model": await client.is_model_ready(url, "shop"),
    }
    for binary_in in (False, True):
        for binary_out in (False, True):
            answer = await client.infer(
                url, request(blobs, binary_in=binary_in, binary_out=binary_out), model_name="shop"
            )
            found[f"{binary_in:d}{binary_out:d}"] = {
                "id": answer.id,
                "model": answer.model_name,
                **{output.name: output.as_numpy().tolist() for output in answer.outputs},
            }
    plain = {
        "inputs": [
            {"name": name, "shape": list(values.shape), "datatype": kind, "data": values.tolist()}
            for name, values in blobs.items()
            for kind in ["FP32" if "weight" in name else "INT64"]
        ]
    }
    found["dict"] = (await client.infer(url, plain, model_name="shop")).outputs[0].name
    found["wrong input"] = await complaint(client.infer(url, {"inputs": []}, model_name="shop"))
    found["wrong name"] = await complaint(client.infer(url, plain, model_name="other"))
    await client.close()
    sys.stdout.write(json.dumps(found) + "\n")


async def complaint(call):
    try:
        await call
    except Exception as error:  # whichever kind: its text is what a user sees
        return str(error)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], dict(np.load(sys.argv[2]))))
