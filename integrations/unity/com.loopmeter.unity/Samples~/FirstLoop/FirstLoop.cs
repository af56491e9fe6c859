using Loopmeter;
using UnityEngine;

/// <summary>Put it beside a LoopPlayer. Space asks for another loop; it comes in on the bar.</summary>
[RequireComponent(typeof(LoopPlayer))]
public sealed class FirstLoop : MonoBehaviour
{
    int seed;

    void Start()
    {
        GetComponent<LoopPlayer>().OnError += what => Debug.LogWarning(what);
        Another();
    }

    void Update()
    {
        if (Input.GetKeyDown(KeyCode.Space)) Another();
    }

    void Another()
    {
        GetComponent<LoopPlayer>().Ask(new LoopRequest("dusty lo-fi drums", 92, 4, "Am") { Seed = seed++ });
    }
}
